package awssts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The one request that a proof is about. Nothing of it is anybody's choice but
// the region, which is on the verifier's list.
const (
	proofBody   = "Action=GetCallerIdentity&Version=2011-06-15"
	proofType   = "application/x-www-form-urlencoded; charset=utf-8"
	amzDate     = "20060102T150405Z"
	headAud     = "X-Fas-Audience"
	headDigest  = "X-Fas-Digest"
	headToken   = "X-Amz-Security-Token"
	headDate    = "X-Amz-Date"
	algorithm   = "AWS4-HMAC-SHA256"
	maxProof    = 8 << 10
	signedPlain = "content-type;host;x-amz-date;x-fas-audience;x-fas-digest"
	signedToken = "content-type;host;x-amz-date;x-amz-security-token;x-fas-audience;x-fas-digest"
)

var (
	regionForm   = regexp.MustCompile(`^[a-z]{2}(?:-gov)?-[a-z]{4,9}-[0-9]{1,2}$`)
	keyForm      = regexp.MustCompile(`^\w{1,128}$`)
	visibleForm  = regexp.MustCompile(`^[\x21-\x7e]+$`)
	hexForm      = regexp.MustCompile(`^[0-9a-f]{64}$`)
	maxTokenSize = 4 << 10
)

// Proof says that the holder of AWS credentials made one request to one
// audience. It holds what is needed to ask STS who that was, and no URL, header
// name or body: the verifier writes those itself. The zero value proves
// nothing. It prints without its session token.
type Proof struct{ w proofWire }

type proofWire struct {
	AccessKeyID string `json:"access_key_id"`
	Region      string `json:"region"`
	Time        string `json:"time"`
	Token       string `json:"token,omitempty"`
	Audience    string `json:"audience"`
	Digest      string `json:"digest"`
	Signature   string `json:"signature"`
}

// Prove makes a proof, on the caller's side, that whoever holds the
// credentials makes the request of the digest to the audience. The credentials
// sign once and are not sent. Errors wrap [ErrProof] or [ErrRegion], or are the
// provider's.
func Prove(ctx context.Context, p aws.CredentialsProvider, region, audience string, digest [32]byte) (Proof, error) {
	if p == nil {
		return Proof{}, ErrConfig
	}
	c, err := p.Retrieve(ctx)
	if err != nil {
		return Proof{}, err
	}
	at := time.Now().UTC()
	out := Proof{proofWire{AccessKeyID: c.AccessKeyID, Region: region, Time: at.Format(amzDate), Token: c.SessionToken,
		Audience: audience, Digest: hex.EncodeToString(digest[:]), Signature: strings.Repeat("0", 64)}}
	if err := out.check(); err != nil {
		return Proof{}, err
	}
	r, err := out.request(ctx, audience, digest)
	if err != nil {
		return Proof{}, err
	}
	r.Header.Del("Authorization")
	// The length is fixed with the body and is left out of what is signed.
	r.ContentLength = 0
	sum := sha256.Sum256([]byte(proofBody))
	if err := v4.NewSigner().SignHTTP(ctx, c, r, hex.EncodeToString(sum[:]), "sts", region, at); err != nil {
		return Proof{}, fmt.Errorf("%w: %w", ErrProof, err)
	}
	head, sig, ok := strings.Cut(r.Header.Get("Authorization"), ", Signature=")
	if !ok || head != out.authorization() || !hexForm.MatchString(sig) {
		return Proof{}, fmt.Errorf("%w: the signer signed another request", ErrProof)
	}
	out.w.Signature = sig
	return out, nil
}

// check refuses what could become more than one value in a request.
func (p Proof) check() error {
	w := p.w
	switch {
	case !regionForm.MatchString(w.Region) || strings.HasPrefix(w.Region, "cn-"):
		return ErrRegion // the host of other partitions has another suffix
	case !keyForm.MatchString(w.AccessKeyID), !hexForm.MatchString(w.Digest), !hexForm.MatchString(w.Signature),
		!audienceForm(w.Audience), w.Token != "" && (len(w.Token) > maxTokenSize || !visibleForm.MatchString(w.Token)):
		return ErrProof
	}
	if at, err := time.Parse(amzDate, w.Time); err != nil || at.Format(amzDate) != w.Time {
		return ErrProof
	}
	return nil
}

func audienceForm(s string) bool { return len(s) <= 255 && visibleForm.MatchString(s) }

func (p Proof) time() time.Time {
	at, _ := time.Parse(amzDate, p.w.Time)
	return at
}

func (p Proof) signature() (out [32]byte) {
	_, _ = hex.Decode(out[:], []byte(p.w.Signature))
	return out
}

func (p Proof) host() string { return "sts." + p.w.Region + ".amazonaws.com" }

func (p Proof) authorization() string {
	signed := signedPlain
	if p.w.Token != "" {
		signed = signedToken
	}
	return algorithm + " Credential=" + p.w.AccessKeyID + "/" + p.w.Time[:8] + "/" + p.w.Region + "/sts/aws4_request, SignedHeaders=" + signed
}

// request writes the request that must have been signed, for this audience and
// digest, whatever the proof says of them.
func (p Proof) request(ctx context.Context, audience string, digest [32]byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+p.host()+"/", strings.NewReader(proofBody))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	r.Header.Set("Content-Type", proofType)
	r.Header.Set(headDate, p.w.Time)
	r.Header.Set(headAud, audience)
	r.Header.Set(headDigest, hex.EncodeToString(digest[:]))
	if p.w.Token != "" {
		r.Header.Set(headToken, p.w.Token)
	}
	r.Header.Set("Authorization", p.authorization()+", Signature="+p.w.Signature)
	return r, nil
}

// IsZero reports whether this is no proof.
func (p Proof) IsZero() bool { return p.w == proofWire{} }

// String names the proof without its token and its signature.
func (p Proof) String() string {
	return "proof of " + p.w.AccessKeyID + " at " + p.w.Time + " in " + p.w.Region
}

// GoString is String.
func (p Proof) GoString() string { return p.String() }

// MarshalBinary returns the form that [ParseProof] reads. It holds the caller's
// session token: opaque without the secret, and still not for a log.
func (p Proof) MarshalBinary() ([]byte, error) {
	if p.IsZero() {
		return nil, ErrProof
	}
	return unescaped(p.w)
}

// ParseProof reads what [Proof.MarshalBinary] wrote, in that one form. Errors
// wrap [ErrProof] or [ErrRegion].
func ParseProof(b []byte) (Proof, error) {
	var p Proof
	if len(b) > maxProof || json.Unmarshal(b, &p.w) != nil {
		return Proof{}, ErrProof
	}
	if err := p.check(); err != nil {
		return Proof{}, err
	}
	if again, err := p.MarshalBinary(); err != nil || !bytes.Equal(again, b) {
		return Proof{}, ErrProof
	}
	return p, nil
}

// CallDigest names a request to a service: method, path with its query, and
// body. It is what a proof, or a sealed session, is bound to.
func CallDigest(method, path string, body []byte) [32]byte {
	h := sha256.New()
	sum := sha256.Sum256(body)
	// Method and path hold no line ends, or the request could not be sent.
	fmt.Fprintf(h, "cloister/fas/call/v1\n%q\n%q\n%x", method, path, sum)
	return [32]byte(h.Sum(nil))
}
