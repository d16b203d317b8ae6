package localkms

import "slices"

// PageInput asks for one page of a list.
type PageInput struct {
	Limit  *int
	Marker string
}

// Page says whether a list goes on.
type Page struct {
	NextMarker string `json:",omitempty"`
	Truncated  bool
}

// page cuts one page out of a sorted list. A marker is the last name of the
// page before, so that a list that changes meanwhile skips and repeats nothing
// else.
func page[T any](all []T, in PageInput, limit, most int, name func(T) string) ([]T, Page, error) {
	if in.Limit != nil {
		limit = *in.Limit
	}
	if limit < 1 || limit > most {
		return nil, Page{}, invalid("Limit is 1 to %d", most)
	}
	if len(in.Marker) > 1024 || !validText(in.Marker) {
		return nil, Page{}, ErrMarker
	}
	if in.Marker != "" {
		at := slices.IndexFunc(all, func(t T) bool { return name(t) > in.Marker })
		if at < 0 {
			at = len(all)
		}
		all = all[at:]
	}
	if len(all) <= limit {
		return append([]T{}, all...), Page{}, nil
	}
	return all[:limit], Page{name(all[limit-1]), true}, nil
}
