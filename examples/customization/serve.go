package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/examples/customization/internal/client"
	"github.com/cloisterdev/cloister/examples/customization/internal/cloud"
	"github.com/cloisterdev/cloister/examples/customization/internal/stack"
	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

func runServe(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	data := fs.String("data", "", "data directory, made if absent (required)")
	listen := fs.String("listen", "127.0.0.1:8787", "address of the API")
	s3 := fs.String("s3-listen", "127.0.0.1:8788", "address of the embedded customer cloud's S3 API")
	tier := fs.String("min-tier", "confined", "weakest sandbox accepted for ingestion: namespaced, confined or process")
	profiles := fs.String("profiles", "", "directory of profiles that three teams approved; without it the firewall approves its own")
	keys := fs.String("profile-keys", "", "keyring of the teams, for --profiles")
	var programs workloads
	fs.Var(&programs, "workload", "NAME=EXECUTABLE of another program of this user that may call the firewall, at DATA/firewall/socket; repeat for more")
	origin := fs.String("origin", "", "scheme and host that callers address, for HTTP signatures and tokens; empty means http:// and --listen")
	private := fs.Bool("private-issuers", false, "tenants' identity providers may be at private addresses and speak plain http")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *data == "" {
		return errors.New("serve: --data DIR is required")
	}
	if (*profiles == "") != (*keys == "") {
		return errors.New("serve: --profiles and --profile-keys go together")
	}
	if _, err := parseTier(*tier); err != nil {
		return err
	}
	if *origin == "" {
		*origin = "http://" + *listen
	}
	start, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	s, err := stack.Start(start, stack.Config{Dir: *data, Listen: *listen, S3Listen: *s3, Log: os.Stderr, Args: append([]string{"--min-tier", *tier,
		"--profiles", *profiles, "--profile-keys", *keys, "--origin", *origin, fmt.Sprintf("--private-issuers=%t", *private)}, programs.args()...)})
	if err != nil {
		return err
	}
	printProcesses(out, s.Processes())
	fmt.Fprintf(out, "\nAPI  http://%s   (SigV4, service codewhisperer, region us-east-1)\nS3   http://%s\n\nNext: customization tenant add NAME --data %s\n", s.Addr(), s.S3Addr(), *data)
	<-ctx.Done()
	fmt.Fprintln(os.Stderr, "stopping")
	s.Stop()
	return nil
}

// positional takes the words before and after flags, since people write
// "tenant add NAME --data DIR" in any order.
func positional(fs *flag.FlagSet, args []string) ([]string, error) {
	var words []string
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		args = fs.Args()
		if len(args) > 0 {
			words = append(words, args[0])
			args = args[1:]
		}
	}
	return words, nil
}

func runTenant(_ context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("tenant", flag.ContinueOnError)
	data := fs.String("data", "", "data directory of the service (required)")
	asJSON := fs.Bool("json", false, "print one JSON object")
	words, err := positional(fs, args)
	if err != nil {
		return err
	}
	if *data == "" || len(words) != 2 || words[0] != "add" {
		return errors.New("usage: tenant add NAME --data DIR [--json]")
	}
	id, bucket, err := addTenant(*data, words[1])
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(out).Encode(map[string]string{"tenant": id.String(), "bucket": bucket})
	}
	fmt.Fprintf(out, "tenant %s\nbucket %s\n\nNext: customization user add %s NAME --admin --data %s\n", id, bucket, id, *data)
	return nil
}

func runUser(_ context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("user", flag.ContinueOnError)
	data := fs.String("data", "", "data directory of the service (required)")
	admin := fs.Bool("admin", false, "the user may create and manage customizations")
	asJSON := fs.Bool("json", false, "print one JSON object")
	words, err := positional(fs, args)
	if err != nil {
		return err
	}
	if *data == "" || len(words) != 3 || words[0] != "add" {
		return errors.New("usage: user add TENANT NAME [--admin] --data DIR [--json]")
	}
	id, err := tenant.ParseID(words[1])
	if err != nil {
		return fmt.Errorf("TENANT is the ID that tenant add printed: %w", err)
	}
	u, err := addUser(*data, id, words[2], *admin)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(out).Encode(u)
	}
	fmt.Fprintf(out, "user    %s\nbucket  %s\nAWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\n(the secret is printed once)\n", u.User, u.Bucket, u.AccessKeyID, u.Secret)
	return nil
}

func addTenant(data, name string) (tenant.ID, string, error) {
	text, err := tenant.NewText(name, 100)
	if err != nil {
		return tenant.ID{}, "", err
	}
	root, err := rootKey(data)
	if err != nil {
		return tenant.ID{}, "", err
	}
	id, err := firewalld.AddTenant(firewallDir(data), root, text)
	return id, bucketOf(id), err
}

// bucketOf is the tenant's bucket in the embedded customer cloud. Its name is
// made of the tenant's ID, never of what the tenant typed.
func bucketOf(id tenant.ID) string { return "src-" + strings.TrimPrefix(id.String(), "tn-") }

func addUser(data string, id tenant.ID, name string, admin bool) (client.User, error) {
	text, err := tenant.NewText(name, 100)
	if err != nil {
		return client.User{}, err
	}
	root, err := rootKey(data)
	if err != nil {
		return client.User{}, err
	}
	k, err := firewalld.AddUser(firewallDir(data), root, id, text, admin)
	if err != nil {
		return client.User{}, err
	}
	u := client.User{Tenant: id, User: k.User, Bucket: bucketOf(id), AccessKeyID: k.AccessKeyID, Secret: k.SecretAccessKey}
	keys, err := cloud.OpenKeys(cloudDir(data))
	if err != nil {
		return client.User{}, err
	}
	return u, keys.Add(u.AccessKeyID, id, u.Bucket, u.Secret)
}
