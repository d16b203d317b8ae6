package main

import "context"

func fasIntro(left string) string {
	s := "`sigv4/full` is one whole verification of a POST with a JSON body of 168 bytes and a session token of 600: parsing, the body's digest, canonical request, signature. " +
		"The signer of aws-sdk-go-v2 is what services without a verifier do: sign again, and compare; the body's digest is made for it too. " +
		"`sigv4/digest` verifies evidence of some 200 bytes against one HMAC-SHA256 of the same string, keyed before, which is the floor. " +
		"`sigv4/bucket` is a PUT of as much to a bucket, without a token, for verifiers that do nothing else: minio's, which is an unexported part of an AGPL server, and awsig's. Each is a process of its own, built from its source, which nothing here links; the one round trip a turn counts for nothing. Neither keeps a derived key, hence the row with ours derived too. minio's is measured as its server does it and without the body; awsig's also makes the body's MD5. " +
		"`policy/decision` is one access decided by two layers of four statements. versitygw's evaluator reads the same policies and parses them at every decision, since it exports nothing compiled; " +
		"cedar-go decides the same in another language, compiled, with time and address parsed before. minio's policy package is AGPL and not measured. " +
		fasFirewallIntro
	if left != "" {
		s += "Here " + left + ". "
	}
	return s + "Smaller is better; the ratio is ours over the peer's."
}

func benchFas(ctx context.Context, quick bool) (report, error) {
	// What is built takes both cores for a while, and comes before all measuring.
	verifiers, left, stop, err := startForeign(ctx)
	if err != nil {
		return report{}, err
	}
	defer stop()
	rep := report{intro: fasIntro(left), left: left}
	for _, part := range []func(ctx context.Context, quick bool) ([]row, error){
		sigv4Rows,
		func(ctx context.Context, quick bool) ([]row, error) { return foreignRows(ctx, quick, verifiers) },
		policyRows,
		firewallRows,
	} {
		rows, err := part(ctx, quick)
		if err != nil {
			return report{}, err
		}
		rep.rows = append(rep.rows, rows...)
	}
	return rep, nil
}
