package main

import "context"

const fasIntro = "`sigv4/full` is one whole verification of a POST with a JSON body of 168 bytes and a session token of 600: parsing, the body's digest, canonical request, signature. " +
	"The signer of aws-sdk-go-v2 is what services without a verifier do: sign again, and compare; the body's digest is made for it too. " +
	"`sigv4/digest` verifies evidence of some 200 bytes against one HMAC-SHA256 of the same string, keyed before, which is the floor. " +
	"awsig is not to be had from the module proxy, and minio's verifier is an unexported part of an AGPL server that nothing here may link: they are not measured. " +
	"`policy/decision` is one access decided by two layers of four statements. versitygw's evaluator reads the same policies and parses them at every decision, since it exports nothing compiled; " +
	"cedar-go decides the same in another language, compiled, with time and address parsed before. minio's policy package is AGPL and not measured. " +
	fasFirewallIntro +
	"Smaller is better; the ratio is ours over the peer's."

// fasParts are the parts of the suite, in the order of the page.
var fasParts = []func(ctx context.Context, quick bool) ([]row, error){sigv4Rows, policyRows, firewallRows}

func benchFas(ctx context.Context, quick bool) (report, error) {
	rep := report{intro: fasIntro}
	for _, part := range fasParts {
		rows, err := part(ctx, quick)
		if err != nil {
			return report{}, err
		}
		rep.rows = append(rep.rows, rows...)
	}
	return rep, nil
}
