package fas

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/cloisterdev/cloister/authz"
	"github.com/cloisterdev/cloister/tenant"
)

// maxMessage bounds a message between the firewall and its clients, in bytes.
const maxMessage = 1 << 20

// call is a request to the firewall; op says which fields count.
type call struct {
	Op       string       `json:"op"`
	Evidence []byte       `json:"-"` // behind the JSON
	Request  Request      `json:"request"`
	Target   string       `json:"target,omitempty"` // customization
	Sess     string       `json:"session,omitempty"`
	Ticket   Ticket       `json:"-"`
	Sealed   []byte       `json:"ticket,omitempty"`
	Verb     Verb         `json:"verb,omitempty"`
	Manifest []byte       `json:"manifest,omitempty"`
	Score    float64      `json:"score,omitempty"`
	Reason   string       `json:"reason,omitempty"`
	Create   *CreateInput `json:"create,omitempty"`
	Source   tenant.Text  `json:"source"`
	User     string       `json:"user,omitempty"`
	Version  int          `json:"version,omitempty"`
	After    string       `json:"after,omitempty"` // the last one of the page before
	Revoke   *Revocation  `json:"revoke,omitempty"`
}

type reply struct {
	Error   string       `json:"error,omitempty"`
	Session []byte       `json:"-"` // behind the JSON
	Row     *Row         `json:"row,omitempty"`
	Rows    []Row        `json:"rows,omitempty"`
	Ticket  *Ticket      `json:"ticket,omitempty"`
	Users   []string     `json:"users,omitempty"`
	Open    []Unfinished `json:"open,omitempty"`
	More    bool         `json:"more,omitempty"` // there is another page
	Version *Version     `json:"version,omitempty"`
}

// The errors that cross the socket, by name. Everything else is ErrInternal.
var wireErrors = map[string]error{
	"denied": ErrDenied, "operation": ErrOperation, "replayed": ErrReplayed, "scope": ErrScope, "ticket": ErrTicket,
	"role": ErrRole, "expired": ErrExpired, "closed": ErrClosed, "verb": ErrVerb, "conflict": ErrConflict, "audit": ErrAudit,
	"level": ErrLevel, "limited": ErrLimited, "revoked": ErrRevoked,
}

func errorName(err error) string {
	if errors.Is(err, authz.ErrUnknown) {
		return "denied"
	}
	for name, e := range wireErrors {
		if errors.Is(err, e) {
			return name
		}
	}
	return "internal"
}

func namedError(name string) error {
	if name == "" {
		return nil
	}
	if e, ok := wireErrors[name]; ok {
		return e
	}
	return ErrInternal
}

func idText[K tenant.Kind](id tenant.Of[K]) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

// stream frames messages on a connection and, on a unix socket, collects the descriptors that
// come with them.
type stream struct {
	c   net.Conn
	buf []byte
	oob []byte
	fds []int
}

func newStream(c net.Conn) *stream {
	return &stream{c: c, oob: make([]byte, 128)}
}

// dropFDs closes the descriptors that nobody took.
func (s *stream) dropFDs() {
	for _, fd := range s.fds {
		closeFD(fd)
	}
	s.fds = nil
}

func (s *stream) close() {
	s.dropFDs()
	_ = s.c.Close()
	clear(s.buf[:cap(s.buf)])
}

var (
	errTooLong   = errors.New("fas: a message is too long")
	errMalformed = errors.New("fas: not a message")
)

// A message is its length, JSON, and where bytes travel as they are a zero,
// which no JSON has in it, and the bytes.
const beside = 0

// send writes a message, and passes descriptors with it.
func (s *stream) send(v any, raw, rights []byte) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	defer clear(text)
	n := len(text)
	if raw != nil {
		n += 1 + len(raw)
	}
	if n > maxMessage {
		return fmt.Errorf("%w: %d bytes", errTooLong, n)
	}
	msg := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+n), uint32(n)), text...)
	if raw != nil {
		msg = append(append(msg, beside), raw...)
	}
	defer clear(msg)
	if u, ok := s.c.(*net.UnixConn); ok && rights != nil {
		n, _, err := u.WriteMsgUnix(msg, rights, nil)
		if err == nil && n < len(msg) {
			_, err = s.c.Write(msg[n:])
		}
		return err
	}
	_, err = s.c.Write(msg)
	return err
}

// receive reads one message, and returns a copy of the bytes behind its JSON.
// What is left of it is wiped, since it may hold keys.
func (s *stream) receive(v any) (raw []byte, err error) {
	for len(s.buf) < 4 {
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
	n := int(binary.BigEndian.Uint32(s.buf))
	if n > maxMessage {
		return nil, fmt.Errorf("%w: %d bytes", errMalformed, n)
	}
	for len(s.buf) < 4+n {
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
	text, raw, _ := bytes.Cut(s.buf[4:4+n], []byte{beside})
	raw = bytes.Clone(raw)
	err = json.Unmarshal(text, v)
	rest := copy(s.buf, s.buf[4+n:])
	clear(s.buf[rest:])
	s.buf = s.buf[:rest]
	if err != nil {
		clear(raw)
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return raw, nil
}

func (s *stream) fill() error {
	if cap(s.buf)-len(s.buf) < 4096 {
		grown := make([]byte, len(s.buf), 2*cap(s.buf)+16<<10)
		copy(grown, s.buf)
		clear(s.buf)
		s.buf = grown
	}
	var n, m int
	var err error
	if u, ok := s.c.(*net.UnixConn); ok {
		n, m, err = readMsg(u, s.buf[len(s.buf):cap(s.buf)], s.oob, &s.fds)
	} else {
		n, err = s.c.Read(s.buf[len(s.buf):cap(s.buf)])
	}
	if err != nil {
		return err
	}
	if len(s.fds) > 1 {
		return fmt.Errorf("%w: more than one descriptor with it", errMalformed)
	}
	if n == 0 && m == 0 {
		return io.EOF
	}
	s.buf = s.buf[:len(s.buf)+n]
	return nil
}
