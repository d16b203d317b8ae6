package invariant

const (
	// Programs that the compiler must refuse.
	compileFail = "internal/compilefail"
	mustNot     = "TestMustNotBuild"
	service     = "examples/customization"
	firewall    = "fas/firewalld"
)

var tenantRoom = []Invariant{
	{ID: "TEN-01", Statement: "An ID is read in the one form that a machine wrote, and in no other.",
		Why:   "A name that another tenant chose never becomes a path or a key's binding.",
		Tests: []Test{{Package: "tenant", Func: "TestParseIsStrict"}, {Package: "tenant", Func: "FuzzParseCustomizationID"}}},
	{ID: "TEN-02", Statement: "An ID of one kind never stands where another kind belongs.",
		Why: "A mix-up of tenant and customization does not compile, so it cannot open yours.",
		Tests: []Test{{"tenant", "TestParseIsStrict", "other kind"}, {compileFail, mustNot, "a tenant ID for a customization ID"},
			{compileFail, mustNot, "conversion between kinds of ID"}, {compileFail, mustNot, "comparison of kinds of ID"}, {compileFail, mustNot, "a string for an ID"}}},
	{ID: "TEN-03", Statement: "An ID that was never set leaves no process.",
		Why:   "A forgotten ID means an error and not everybody's data.",
		Tests: []Test{{Package: "tenant", Func: "TestZeroIDDoesNotMarshal"}}},
	{ID: "TEN-04", Statement: "What a tenant typed is harmless wherever it is printed, and raw only where the code says so.",
		Why:     "Another tenant's name for a thing cannot attack your administrator's browser or terminal.",
		Tests:   []Test{{Package: "tenant", Func: "TestTextIsHarmlessEverywhere"}, {compileFail, mustNot, "raw text as a string"}},
		Gallery: []string{"harmful-name"}},
	{ID: "TEN-05", Statement: "A secret never prints and never marshals, and is overwritten when destroyed.",
		Why:   "Your keys do not end in a log.",
		Tests: []Test{{Package: "tenant", Func: "TestSecretNeverPrints"}, {compileFail, mustNot, "a secret as bytes"}}},
	{ID: "TEN-06", Statement: "A caller is complete and comes from a verifier, or is nobody.",
		Why:   "Nobody is you because a field was empty.",
		Tests: []Test{{Package: "tenant", Func: "TestCaller"}, {compileFail, mustNot, "a caller made by hand"}}},
}

var auditRoom = []Invariant{
	{ID: "AUD-01", Statement: "A record that was changed, removed, moved or put in from another log is found.",
		Why:     "Who opened your code stays on record, whoever would like it otherwise.",
		Tests:   []Test{{Package: "audit", Func: "TestReadFollowsTheChain"}, {Package: "audit", Func: "TestEveryByteCounts"}, {Package: "audit", Func: "TestTampering"}, {Package: "audit", Func: "FuzzVerify"}, {Package: "cmd/cloister", Func: "TestAuditVerify"}},
		Gallery: []string{"audit-edited", "audit-removed"}},
	{ID: "AUD-02", Statement: "A log that was cut off before its checkpoint is neither verified nor written on.",
		Why:     "The last hour cannot be made never to have happened.",
		Tests:   []Test{{"audit", "TestTampering", "last record cut off"}, {Package: "audit", Func: "TestTornTailIsRepairedAndTruncationIsNot"}},
		Gallery: []string{"audit-truncated"}},
	{ID: "AUD-03", Statement: "A log has one writer, and a closed one takes nothing.",
		Why:   "Two writers would fork the history, and a lost record would be a lost witness.",
		Tests: []Test{{"audit", "TestVerifyAndReopen", "a second writer"}, {"audit", "TestVerifyAndReopen", "after close"}, {Package: "audit", Func: "TestCheckpointThatFailsIsTriedAgain"}, {Package: "audit", Func: "TestCloseTellsOfTheCheckpoint"}}},
	{ID: "AUD-04", Statement: "A record holds machine IDs, codes, digests and bounded, escaped details, and nothing else.",
		Why:   "The log that all may audit does not itself hold your code or attack its reader.",
		Tests: []Test{{Package: "audit", Func: "TestEventRules"}, {Package: "audit", Func: "TestDetailIsHarmless"}, {Package: "audit", Func: "TestLongestEvent"}}},
	{ID: "AUD-05", Statement: "What cannot be recorded is not granted.",
		Why:   "There is no access to your code without a trace.",
		Tests: []Test{{Package: firewall, Func: "TestAuditFailureRefuses"}}},
}

var authzRoom = []Invariant{
	{ID: "AUT-01", Statement: "What is not declared is denied, and every denial has one text.",
		Why:   "A new or misspelt operation opens nothing, and a refusal tells nothing.",
		Tests: []Test{{"authz", "TestDecisions", "misspelt action"}, {"authz", "TestDecisions", "action of the schema on the wrong kind"}, {"authz", "TestDecisions", "nobody"}}},
	{ID: "AUT-02", Statement: "A caller acts within the own tenant only, whatever any policy says.",
		Why:     "A mistake in a policy is a mistake about the own colleagues.",
		Tests:   []Test{{Package: "authz", Func: "TestForeignResourceTenantInRequest"}, {Package: "authz", Func: "TestTenantPoliciesOpenNothingForeign"}, {"authz", "TestDecisions", "foreign admin deletes"}, {Package: "authz", Func: "TestGuardAlone"}, {Package: firewall, Func: "TestTenantPolicies"}},
		Gallery: []string{"foreign", "foreign-admin", "permit-all"}},
	{ID: "AUT-03", Statement: "The tenant guard is proved when the service starts; one with a gap is refused.",
		Why:   "The rule that keeps tenants apart does not rest on somebody's careful reading.",
		Tests: []Test{{Package: "authz", Func: "TestGuardIsProved"}}},
	{ID: "AUT-04", Statement: "A policy with a mistake never serves, and the old one stays in force.",
		Why:     "A typo in your prohibition is told to you and not discovered by somebody else.",
		Tests:   []Test{{Package: "authz", Func: "TestRejectedPolicies"}, {"authz", "TestNewRefuses", "typo"}},
		Gallery: []string{"cedar-typo", "cedar-nonsense", "policy-typo-kept"}},
	{ID: "AUT-05", Statement: "The text of a policy cannot exhaust or end the process that checks it.",
		Why:     "Another tenant's policy does not stop your service.",
		Tests:   []Test{{"authz", "TestRejectedPolicies", "too deep"}, {"authz", "TestRejectedPolicies", "too many negations"}, {Package: "authz", Func: "FuzzCheck"}},
		Gallery: []string{"cedar-deep"}},
	{ID: "AUT-06", Statement: "A tenant's policies name the tenant's own entities only.",
		Why:   "Nobody finds out by a policy whether a thing of yours exists.",
		Tests: []Test{{"authz", "TestRejectedPolicies", "foreign customization"}, {"authz", "TestRejectedPolicies", "foreign tenant in a condition"}}},
	{ID: "AUT-07", Statement: "A colleague uses what was given to him, and administers nothing that he may only use.",
		Why:     "You decide which of your developers see which code.",
		Tests:   []Test{{"authz", "TestDecisions", "colleague without the right"}, {"authz", "TestDecisions", "developer administers"}, {"authz", "TestDecisions", "admin does not use"}},
		Gallery: []string{"colleague", "developer-administers", "developer-shares"}},
	{ID: "AUT-08", Statement: "A right taken back, a disabled user and an inactive customization count from the next call on.",
		Why:     "Who has left your company has left your code.",
		Tests:   []Test{{Package: "authz", Func: "TestInactiveAndDisabled"}, {Package: "authz", Func: "TestConcurrentReload"}},
		Gallery: []string{"right-taken-back", "deactivated"}},
	{ID: "AUT-09", Statement: "A permit comes from a decision, and an authorizer has all its parts.",
		Why:   "A forgotten check does not compile, and a half-configured service does not start.",
		Tests: []Test{{compileFail, mustNot, "a permit made by hand"}, {Package: "authz", Func: "TestNewRefuses"}}},
}
