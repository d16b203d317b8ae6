package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/cloisterdev/cloister/fas/policy"
)

var (
	errPolicyUsage = fmt.Errorf("%w: cloister policy check FILE | subset PROFILE SCOPE | eval FILE… --action A --resource R [--context KEY=VALUE]… [--json]", errUsage)
	errNotSubset   = errors.New("the profile does not allow all of it")
	errNotAllowed  = errors.New("not allowed")
)

// access is what the flags of eval say.
type access struct {
	request policy.Request
	asJSON  bool
}

func policyCommand(verb string, args []string, out io.Writer) error {
	var a access
	fs := flag.NewFlagSet("policy "+verb, flag.ContinueOnError)
	fs.BoolVar(&a.asJSON, "json", false, "print JSON")
	if verb == "eval" {
		fs.StringVar(&a.request.Action, "action", "", "service:Name")
		fs.StringVar(&a.request.Resource, "resource", "", "an ARN, or * for an action without one")
		fs.Func("context", "KEY=VALUE; the same key again makes it a key with several values", a.addContext)
	}
	n, ok := map[string]int{"check": 1, "subset": 2, "eval": anyNumber}[verb]
	switch {
	case asksForHelp(verb):
		return groupHelp(out, "policy")
	case !ok:
		return stray(errPolicyUsage, verb)
	}
	files, err := words(fs, args, out, errPolicyUsage)
	if err == nil {
		err = count(files, n, errPolicyUsage)
	}
	if err != nil {
		return err
	}
	var docs []*policy.Document
	for _, f := range files {
		d, err := readPolicy(f)
		if err != nil {
			return err
		}
		docs = append(docs, d)
	}
	switch verb {
	case "check":
		return policyCheck(docs[0], a.asJSON, out)
	case "subset":
		return policySubset(docs[0], docs[1], a.asJSON, out)
	}
	return policyEval(a, files, docs, out)
}

func readPolicy(file string) (*policy.Document, error) {
	b, err := readFile(file)
	if err != nil {
		return nil, err
	}
	d, err := policy.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return d, nil
}

// addContext takes keys in any case, as policies write them.
func (a *access) addContext(s string) error {
	key, value, ok := strings.Cut(s, "=")
	key = strings.ToLower(key)
	if !ok || key == "" {
		return errors.New("KEY=VALUE is wanted")
	}
	r := &a.request
	if r.Context == nil {
		r.Context, r.Multi = map[string]string{}, map[string][]string{}
	}
	first, single := r.Context[key]
	switch {
	case single:
		delete(r.Context, key)
		r.Multi[key] = []string{first, value}
	case r.Multi[key] != nil:
		r.Multi[key] = append(r.Multi[key], value)
	default:
		r.Context[key] = value
	}
	return nil
}

func policyCheck(d *policy.Document, asJSON bool, out io.Writer) error {
	findings := policy.Lint(d)
	if asJSON {
		if findings == nil {
			findings = []policy.Finding{}
		}
		return json.NewEncoder(out).Encode(struct {
			Policy   *policy.Document `json:"policy"`
			Findings []policy.Finding `json:"findings"`
		}{d, findings})
	}
	for _, f := range findings {
		if _, err := fmt.Fprintf(out, "statement %d: %s: %s\n", f.Statement, f.Code, f.Message); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "a policy, with %d findings\n", len(findings))
	return err
}

func policySubset(profile, scope *policy.Document, asJSON bool, out io.Writer) error {
	in := policy.Subset(profile, scope)
	var err error
	if asJSON {
		err = json.NewEncoder(out).Encode(struct {
			Answer string `json:"answer"`
			Reason string `json:"reason,omitempty"`
		}{in.Answer.String(), in.Reason})
	} else if in.Answer == policy.Yes {
		_, err = fmt.Fprintln(out, "yes")
	} else {
		_, err = fmt.Fprintf(out, "%s: %s\n", in.Answer, in.Reason)
	}
	if err == nil && in.Answer != policy.Yes {
		err = errNotSubset
	}
	return err
}

func policyEval(a access, files []string, docs []*policy.Document, out io.Writer) error {
	if a.request.Action == "" || a.request.Resource == "" {
		return errPolicyUsage
	}
	if err := a.request.Err(); err != nil {
		return err
	}
	type layer struct {
		File      string `json:"file"`
		Decision  string `json:"decision"`
		Statement *int   `json:"statement,omitempty"`
	}
	var layers []layer
	for i, d := range docs {
		decision, by := d.Explain(a.request)
		l := layer{File: files[i], Decision: decision.String()}
		if by >= 0 {
			l.Statement = &by
		}
		layers = append(layers, l)
	}
	allowed := policy.Allowed(a.request, docs...)
	var err error
	if a.asJSON {
		err = json.NewEncoder(out).Encode(struct {
			Allowed bool    `json:"allowed"`
			Layers  []layer `json:"layers"`
		}{allowed, layers})
	} else {
		for _, l := range layers {
			by := ""
			if l.Statement != nil {
				by = fmt.Sprintf(", by statement %d", *l.Statement)
			}
			if _, err = fmt.Fprintf(out, "%s: %s%s\n", l.File, l.Decision, by); err != nil {
				return err
			}
		}
	}
	if err == nil && !allowed {
		err = errNotAllowed
	}
	return err
}
