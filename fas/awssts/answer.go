package awssts

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// AWSCaller is who STS says that a caller is.
type AWSCaller struct {
	// Account has twelve digits.
	Account string
	// ARN is that of a user, of an account's root, or of a role's session. The
	// last part of a session's is whatever its maker typed: decide by Role.
	ARN string
	// UserID is unique for ever, the ARN only as long as its holder lives.
	UserID string
}

// Role returns the name of the role whose session this is.
func (c AWSCaller) Role() (name string, ok bool) {
	m := callerARN.FindStringSubmatch(c.ARN)
	if m == nil || m[2] == "" {
		return "", false
	}
	return m[2], true
}

const (
	maxAnswer = 64 << 10
	namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
)

var (
	accountForm = regexp.MustCompile(`^[0-9]{12}$`)
	callerARN   = regexp.MustCompile(`^arn:aws(?:-us-gov)?:(?:iam|sts)::([0-9]{12}):(?:root|user/[\x21-\x7e]{1,576}|assumed-role/([\w+=,.@-]{1,64})/[\w+=,.@-]{2,64}|federated-user/[\w+=,.@-]{2,64})$`)
	userIDForm  = regexp.MustCompile(`^[\w+=,.@:-]{1,193}$`)
)

// leaves are the elements of an answer that hold text: all of them, once each.
var leaves = map[string]bool{
	"GetCallerIdentityResponse/GetCallerIdentityResult/Arn":     true,
	"GetCallerIdentityResponse/GetCallerIdentityResult/UserId":  true,
	"GetCallerIdentityResponse/GetCallerIdentityResult/Account": true,
	"GetCallerIdentityResponse/ResponseMetadata/RequestId":      true,
}

// parseAnswer reads STS's answer and nothing else: these elements, once, in
// this namespace, without attributes, comments, directives or anything beside.
func parseAnswer(b []byte) (AWSCaller, error) {
	if len(b) > maxAnswer {
		return AWSCaller{}, fmt.Errorf("%w: too long an answer", ErrService)
	}
	strange := fmt.Errorf("%w: not the answer of GetCallerIdentity", ErrService)
	d := xml.NewDecoder(bytes.NewReader(b))
	var path []string
	seen, text := map[string]bool{}, map[string]string{}
	for first := true; ; first = false {
		t, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return AWSCaller{}, strange
		}
		switch t := t.(type) {
		case xml.ProcInst:
			if !first || t.Target != "xml" {
				return AWSCaller{}, strange
			}
		case xml.StartElement:
			if !plain(t, len(path) == 0) {
				return AWSCaller{}, strange
			}
			path = append(path, t.Name.Local)
			at := strings.Join(path, "/")
			if seen[at] || !expected(at) {
				return AWSCaller{}, strange
			}
			seen[at] = true
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			at := strings.Join(path, "/")
			if leaves[at] {
				text[at] += string(t)
			} else if len(bytes.TrimSpace(t)) > 0 {
				return AWSCaller{}, strange
			}
		default: // a comment would split a text, a directive define one
			return AWSCaller{}, strange
		}
	}
	if len(path) > 0 {
		return AWSCaller{}, strange
	}
	const result = "GetCallerIdentityResponse/GetCallerIdentityResult/"
	c := AWSCaller{Account: text[result+"Account"], ARN: text[result+"Arn"], UserID: text[result+"UserId"]}
	m := callerARN.FindStringSubmatch(c.ARN)
	if m == nil || m[1] != c.Account || !accountForm.MatchString(c.Account) || !userIDForm.MatchString(c.UserID) {
		return AWSCaller{}, strange
	}
	return c, nil
}

func expected(at string) bool {
	if leaves[at] {
		return true
	}
	for leaf := range leaves {
		if strings.HasPrefix(leaf, at+"/") {
			return true
		}
	}
	return false
}

// plain reports an element of the namespace whose only attribute may be, at
// the root, the namespace itself.
func plain(t xml.StartElement, root bool) bool {
	if t.Name.Space != namespace {
		return false
	}
	if root {
		return len(t.Attr) == 1 && t.Attr[0].Name == xml.Name{Local: "xmlns"}
	}
	return len(t.Attr) == 0
}
