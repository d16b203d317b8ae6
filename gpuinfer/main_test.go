//go:build unix

package gpuinfer_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/gpuinfer"
	"github.com/cloisterdev/cloister/retrieval"
	"github.com/cloisterdev/cloister/retrieval/embedded"
)

// The test binary is also the slot.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "slot" {
		if err := slot(os.Args[2], os.Args[3]); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func slot(mode, pids string) error {
	f, err := os.OpenFile(pids, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		return err
	}
	conn, confine := os.NewFile(3, "pool"), func() error { return nil }
	switch mode {
	case "exit":
		return nil
	case "unconfined":
		confine = func() error { return errors.New("no kernel support") }
	case "raw", "silent", "garbage", "oversized", "cut", "other number":
		return raw(mode, conn)
	case "roams":
		if err := roam(); err != nil {
			return err
		}
	}
	err = gpuinfer.ServeSlot(context.Background(), conn, engine{}, gpuinfer.SlotOptions{Confine: confine})
	if mode == "deaf" {
		select {} // the connection is closed, and it stays
	}
	return err
}

// engine loads what the tests' snapshots carry.
type engine struct{}

func (engine) Load(_ context.Context, in gpuinfer.Input) (gpuinfer.Model, error) {
	b := retrieval.Binding{Tenant: in.Tenant, Customization: in.Customization, Collection: in.Collection, Snapshot: in.Snapshot}
	s, err := embedded.OpenFile(in.File, b, in.Manifest, in.Key)
	if err != nil {
		return nil, err
	}
	secret, err := s.Attachment("secret")
	return &model{secret: string(secret)}, err
}

// model does what the prompt's prefix says.
type model struct {
	secret string
	asked  int
}

func (m *model) Complete(_ context.Context, p gpuinfer.Prompt) iter.Seq2[gpuinfer.Token, error] {
	return func(yield func(gpuinfer.Token, error) bool) {
		m.asked++
		switch {
		case p.Prefix == "secret":
			yield(gpuinfer.Token{Text: m.secret}, nil)
		case p.Prefix == "asked":
			yield(gpuinfer.Token{Text: strconv.Itoa(m.asked)}, nil)
		case p.Prefix == "echo":
			fields := []string{p.Suffix, p.Path, strconv.Itoa(p.MaxTokens)}
			for _, c := range p.Chunks {
				fields = append(fields, c.Text)
			}
			for _, f := range fields {
				if !yield(gpuinfer.Token{Text: f + ";", Prob: 0.5, FromPrompt: true}, nil) {
					return
				}
			}
		case p.Prefix == "hang":
			select {}
		case strings.HasPrefix(p.Prefix, "late "):
			d, _ := time.ParseDuration(strings.TrimPrefix(p.Prefix, "late "))
			time.Sleep(d)
			yield(gpuinfer.Token{Text: "late"}, nil)
		case p.Prefix == "die":
			os.Exit(3)
		case p.Prefix == "error":
			if yield(gpuinfer.Token{Text: "half"}, nil) {
				yield(gpuinfer.Token{}, errors.New("out of memory"))
			}
		case p.Prefix == "flood":
			yield(gpuinfer.Token{Text: strings.Repeat("x", 5<<20)}, nil)
		}
	}
}

// raw is a slot that speaks the protocol by itself, wrongly where it is told
// to: at once when the mode says so, and else by the prompt.
func raw(mode string, f *os.File) error {
	c, err := net.FileConn(f)
	if err != nil {
		return err
	}
	if _, err := receive(c); err != nil { // the load
		return err
	}
	if mode != "raw" {
		return answer(c, mode, 0)
	}
	if err := send(c, map[string]any{}); err != nil {
		return err
	}
	for {
		m, err := receive(c)
		if err != nil {
			return err
		}
		prefix, _ := m["prefix"].(string)
		n, _ := m["n"].(float64)
		if err := answer(c, prefix, int(n)); err != nil {
			return err
		}
	}
}

func answer(c net.Conn, how string, n int) (err error) {
	good := func(text string) map[string]any {
		return map[string]any{"n": n, "tokens": []map[string]any{{"t": text}}}
	}
	switch how {
	case "silent":
		select {}
	case "garbage":
		_, err = c.Write(append([]byte{0, 0, 0, 7}, "garbage"...))
	case "oversized":
		_, err = c.Write([]byte{0xff, 0xff, 0xff, 0xff})
	case "cut":
		_, err = c.Write([]byte{0, 0, 1, 0, '{'})
		os.Exit(0)
	case "slow":
		// A byte now and then is not an answer in time.
		for err == nil {
			_, err = c.Write([]byte{0})
			time.Sleep(20 * time.Millisecond)
		}
	case "other number":
		err = send(c, map[string]any{"n": n + 1, "tokens": []any{}})
	case "twice":
		err = errors.Join(send(c, good("first")), send(c, good("second")))
	default:
		err = send(c, good("raw "+how))
	}
	return err
}

func send(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

func receive(r io.Reader) (m map[string]any, err error) {
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(n[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	return m, json.Unmarshal(b, &m)
}
