package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	controlFD = 3
	envSetup  = "CLOISTER_SANDBOX"
)

type setup struct {
	Layers      layer
	MaxMessage  int
	MaxFileSize int64
	MemoryLimit int64
}

// WorkerMain is the whole life of a worker: confine itself, say so, read one
// request, run the handler of its kind, answer, exit. It does not return. Call
// it from main when the arguments are those of [Config].Command, before
// starting goroutines or opening files. A process that no pool started ends at
// once with status 2.
func WorkerMain(handlers map[string]Handler) {
	if err := work(handlers); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox worker:", err)
		os.Exit(2)
	}
	os.Exit(0)
}

func work(handlers map[string]Handler) error {
	var s setup
	if err := json.Unmarshal([]byte(os.Getenv(envSetup)), &s); err != nil || s.Layers == 0 {
		return errors.New("not started by a pool")
	}
	unix.CloseOnExec(controlFD)
	if err := closeInherited(controlFD); err != nil {
		return refuse(fmt.Errorf("inherited files: %w", err))
	}
	debug.SetMemoryLimit(s.MemoryLimit)
	if err := apply(s.Layers, limits{256, uint64(s.MaxFileSize)}); err != nil {
		return refuse(err)
	}
	r, err := json.Marshal(ready{s.Layers})
	if err != nil {
		return err
	}
	if err := sendFrame(frame(frameReady, r)); err != nil {
		return err
	}
	h, req, files, err := receive(s.MaxMessage)
	if err != nil {
		return err
	}
	// From here on the kernel delivers nothing more on this socket.
	if err := unix.Shutdown(controlFD, unix.SHUT_RD); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), progressKey{}, true))
	defer cancel()
	go exitWithParent()

	var reply []byte
	handler := handlers[h.Kind]
	if handler == nil {
		err = Fail("unknown-kind", errors.New("no handler of this kind"))
	} else {
		reply, err = handler(ctx, req, files)
	}
	d := done{Handled: 1}
	if err == nil && len(reply) > s.MaxMessage {
		err = Fail("reply-too-large", errTooLarge)
	}
	if err != nil {
		reply = nil
		d.Code = "failed"
		var c *codedError
		if errors.As(err, &c) {
			d.Code = c.code
		}
		d.Diagnostic = strings.ToValidUTF8(err.Error(), "?")
		d.Diagnostic = d.Diagnostic[:min(len(d.Diagnostic), 1000)]
	}
	d.MAC = claim(h.Key, 1, s.Layers, sha256.Sum256(req), sha256.Sum256(reply), d.Code)
	clear(h.Key)
	if err := frames(reply, sendFrame); err != nil {
		return err
	}
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return sendFrame(frame(frameDone, b))
}

func refuse(err error) error {
	_ = sendFrame(frame(frameRefuse, []byte(err.Error())))
	return err
}

var sendLock sync.Mutex

func sendFrame(b []byte) error {
	sendLock.Lock()
	defer sendLock.Unlock()
	for {
		_, err := unix.SendmsgN(controlFD, b, nil, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		return err
	}
}

func receiveFrame(buf, oob []byte) (int, int, error) {
	for {
		n, oobn, flags, _, err := unix.Recvmsg(controlFD, buf, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
			err = fmt.Errorf("%w: truncated", ErrProtocol)
		}
		if err == nil && n == 0 {
			err = io.EOF
		}
		return n, oobn, err
	}
}

func receive(maxMessage int) (header, []byte, []*os.File, error) {
	buf := make([]byte, frameSize+1)
	oob := make([]byte, unix.CmsgSpace(4*maxFiles))
	n, oobn, err := receiveFrame(buf, oob)
	if err != nil {
		return header{}, nil, nil, err
	}
	if buf[0] != frameHeader {
		return header{}, nil, nil, fmt.Errorf("%w: no header", ErrProtocol)
	}
	h, err := parseHeader(buf[1:n], maxMessage)
	if err != nil {
		return header{}, nil, nil, err
	}
	files, err := filesOf(oob[:oobn])
	if err != nil {
		return header{}, nil, nil, err
	}
	if len(files) != h.Files {
		return header{}, nil, nil, fmt.Errorf("%w: file count", ErrProtocol)
	}
	req := make([]byte, 0, min(h.Size, 1<<20))
	for len(req) < h.Size {
		n, _, err := receiveFrame(buf, nil)
		if err != nil {
			return header{}, nil, nil, err
		}
		if buf[0] != frameData || len(req)+n-1 > h.Size {
			return header{}, nil, nil, fmt.Errorf("%w: request", ErrProtocol)
		}
		req = append(req, buf[1:n]...)
	}
	return h, req, files, nil
}

func filesOf(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("%w: control message", ErrProtocol)
	}
	var files []*os.File
	for _, m := range msgs {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return nil, fmt.Errorf("%w: control message", ErrProtocol)
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "passed-"+strconv.Itoa(len(files))))
		}
	}
	return files, nil
}

// exitWithParent ends the process when the parent's end is gone. Reading cannot
// tell any more, since this side is shut; a hang-up does.
func exitWithParent() {
	for {
		p := []unix.PollFd{{Fd: controlFD}}
		if _, err := unix.Ppoll(p, nil, nil); err != nil && err != unix.EINTR {
			os.Exit(3)
		}
		if p[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0 {
			os.Exit(3)
		}
	}
}

type progressKey struct{}

// Progress sends b, at most 32 KiB, to the OnProgress of the job. It works in a
// handler, with the handler's context, and returns [ErrConfig] elsewhere.
func Progress(ctx context.Context, b []byte) error {
	if on, _ := ctx.Value(progressKey{}).(bool); !on || len(b) > maxProgress {
		return fmt.Errorf("%w: progress outside a handler or too large", ErrConfig)
	}
	return sendFrame(frame(frameProgress, b))
}
