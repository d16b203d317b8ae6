package awssts

// What the fuzz targets see as the verifier and the opener do.
var (
	ParseAnswer = parseAnswer
	Request     = Proof.request
	ReadKeys    = readKeys
	Ambient     = ambient
	// SessionPolicy is what an Issuer sends.
	SessionPolicy = sessionPolicy
)
