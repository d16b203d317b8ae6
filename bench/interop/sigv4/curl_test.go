package sigv4_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// curl signs with its own clock (of a date that it is given, older ones send
// two) and only in headers.
func TestCurl(t *testing.T) {
	t.Parallel()
	name, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not in the search path")
	}
	out, err := exec.CommandContext(t.Context(), name, "--version").Output()
	if err != nil {
		t.Skip("curl does not say its version")
	}
	m := regexp.MustCompile(`^curl (\d+)\.(\d+)`).FindSubmatch(out)
	if m == nil {
		t.Skip("curl does not say its version")
	}
	major, _ := strconv.Atoi(string(m[1]))
	minor, _ := strconv.Atoi(string(m[2]))
	if major < 7 || major == 7 && minor < 75 {
		t.Skipf("curl %d.%d has no --aws-sigv4", major, minor)
	}
	answers := map[string]signed{}
	but := known{}
	for _, c := range calls() {
		if c.Presign {
			but[c.Name] = "skip" // curl signs in headers only
			continue
		}
		answers[c.Name] = curlSigns(t, name, c)
	}
	// Version 7 signs a query as it stands, paths of all services escaped once,
	// spaces in headers unfolded, and writes an empty header with two
	// semicolons. Later ones mended one after the other.
	mark := ""
	if major > 7 {
		mark = maybe
	}
	for _, n := range []string{"utf8-path", "escaped-slash", "marks-in-path", "repeated-keys", "prefix-keys", "escaped-query"} {
		but[n] = mark + "does not match"
	}
	but["headers"], but["repeated-headers"] = mark+"signed headers not lower-case", mark+"signed headers not lower-case"
	matrix(t, "curl", answers, but)
}

// curlSigns records what curl sends.
func curlSigns(t *testing.T, name string, c call) signed {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan signed, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			got <- signed{Error: err.Error()}
			return
		}
		defer conn.Close()
		var head strings.Builder
		br := bufio.NewReader(io.TeeReader(conn, &head))
		r, err := http.ReadRequest(br)
		if err != nil {
			got <- signed{Error: err.Error()}
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		s := signed{Name: c.Name, Target: r.RequestURI}
		lines, _, _ := strings.Cut(head.String(), "\r\n\r\n")
		for _, line := range strings.Split(lines, "\r\n")[1:] {
			k, v, _ := strings.Cut(line, ":")
			s.Headers = append(s.Headers, [2]string{k, strings.TrimPrefix(v, " ")})
		}
		got <- s
	}()
	args := append(curlArgs(c), "--connect-to", host+":80:"+l.Addr().String(), "http://"+host+c.Target)
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		return signed{Error: fmt.Sprintf("%v: %s", err, out)}
	}
	return <-got
}

func curlArgs(c call) []string {
	args := []string{"--silent", "--show-error", "--max-time", "20", "--path-as-is", "--globoff", "--request", c.Method, "--user", accessKey + ":" + secretText,
		"--aws-sigv4", fmt.Sprintf("aws:amz:%s:%s", region, c.Service)}
	for _, h := range c.Headers {
		if h[1] == "" {
			args = append(args, "--header", h[0]+";")
		} else {
			args = append(args, "--header", h[0]+": "+h[1])
		}
	}
	if c.Token != "" {
		args = append(args, "--header", "X-Amz-Security-Token: "+c.Token)
	}
	if c.Body != "" {
		args = append(args, "--data-binary", c.Body)
	}
	return args
}

// What curl sends itself, every way.
func TestCurlLive(t *testing.T) {
	t.Parallel()
	name, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not in the search path")
	}
	s := start(t)
	for _, c := range calls() {
		if c.Presign || c.Name != "plain" && c.Name != "plain,token" && c.Name != "s3-put" {
			continue
		}
		for way, to := range map[string][]string{
			"HTTP/1.1": {"--connect-to", host + ":80:" + s.h1.Listener.Addr().String(), "http://" + host + c.Target},
			"proxy":    {"--connect-to", host + ":80:" + s.proxy.Listener.Addr().String(), "http://" + host + c.Target},
			"HTTP/2.0": {"--http2", "--insecure", "--connect-to", host + ":443:" + s.h2.Listener.Addr().String(), "https://" + host + c.Target},
		} {
			out, err := exec.CommandContext(t.Context(), name, append(curlArgs(c), to...)...).CombinedOutput()
			if want := map[bool]string{true: "HTTP/1.1", false: way}[way == "proxy"]; err != nil || !strings.HasPrefix(string(out), want) {
				t.Errorf("%s, %s: %s %v", c.Name, way, out, err)
			}
			// The control: nobody's secret.
			args := append(append(curlArgs(c), "--user", accessKey+":x"), to...)
			if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil || !strings.Contains(string(out), "does not match") {
				t.Errorf("%s, %s, another secret: %s %v", c.Name, way, out, err)
			}
		}
	}
}
