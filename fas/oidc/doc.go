// Package oidc takes the access tokens of a tenant's own identity provider as
// evidence, bound to one request by a proof of possession (DPoP, RFC 9449).
//
// A caller sends the provider's token and a proof: a JWT, signed with a key of
// the caller's, over the method, the URL, the time, a number used once, the
// token's digest, and two claims that RFC 9449 does not have, so that the proof
// says all that a signed request says:
//
//	htq  the query as it is escaped, empty where there is none
//	htd  the SHA-256 of the body, in unpadded base64url
//
// [Capture] reads both from a request in the front end. A [Verifier] decides
// inside the firewall, from the proof and the token alone: it implements
// [fas.Verifier] for [tenant.MethodOIDC].
//
// # Whose key signs the proof
//
// A token that names the key (cnf.jkt, RFC 7800 and RFC 9449) is good with that
// key only: the provider saw it when it gave the token out. A token that names
// none is a bearer token: whoever holds it could make a key of its own, and the
// proof would prove nothing about the user. Such a token is good only with a key
// that [Users.Registered] knows as this user's. A key is never learned from
// its first use.
//
// # Whose token it is
//
// A pair of issuer and audience belongs to one tenant, or to none: [Issuers].
// The user is the subject as that tenant's [Users] maps it. Neither is ever a
// parameter of the call. An audience should name the tenant, so that a provider
// that serves several gives each its own.
//
// # What it refuses
//
//	ErrNoToken       no Authorization: DPoP, or no DPoP header
//	ErrMalformed     a token, a proof or evidence of another form; two of them
//	ErrProof         a proof that is not signed by the key in it, of another
//	                 type or algorithm, or for another token
//	ErrRequest       a proof for another method, host, path or query
//	ErrPayload       a proof for another body
//	ErrAmbiguousPath empty, "." or ".." segments, encoded or not
//	ErrTooLarge      a token, proof or body above its limit
//	ErrSkew          a proof or token of the wrong time
//	ErrIssuer        an issuer or audience that is nobody's; two audiences
//	ErrToken         a token that the provider did not sign as it must
//	ErrKeys          a provider whose keys cannot be had, or for which too many
//	                 calls wait
//	ErrBinding       a proof by a key that is not the token's, nor registered
//	ErrUser          a subject that is no user
//	ErrConfig        a verifier without one of its parts
//
// # The network
//
// Only issuers that are some tenant's are asked for their keys: over TLS,
// without redirects, at public addresses, for 5 seconds and 1 MiB at most and a
// few times a minute, whatever callers send. Keys are used for 10 minutes after
// they were asked for; what a provider withdrew verifies no longer than that. A
// provider that does not answer then is a refusal. The first call that finds them
// 5 minutes old has them fetched again and does not wait, so that a provider of
// which there are calls all the time may be away for almost 5 minutes.
//
// A token with a key id that is not known has the keys fetched too, twice at
// once and then every 20 seconds. Strangers can use that up: a new key that was
// not published before it signs is then refused for so long. They take nothing
// from the tokens with known keys.
//
// A fetch is one for all that wait for it, and its failure is everybody's for 10
// seconds. It ends by itself where its callers leave. Nobody has verified a call
// that waits: 4 wait at a time for all providers of a [Verifier], and 2 for one,
// whichever tenants share it. More are refused at once, and find the keys that
// are being fetched when they come again. That is so too after 10 minutes without
// a call and after a start: of many calls that come then at the same moment, 2
// wait.
//
// Public is what IANA's registries of special-purpose addresses do not except.
// Tunnels and translators to IPv4 (6to4, Teredo, 64:ff9b::/96) are refused too,
// since behind them is any address: where IPv4 is reached only by NAT64, a
// provider needs an address of IPv6.
//
// # What it does not protect against
//
// The provider can impersonate each of its users, here as everywhere, and its
// revocations count when the token ends: keep tokens short. A proof verifies
// again within its window; the firewall's replay store makes it good once.
// Headers are not covered: none can be read from this evidence. The firewall's
// process opens connections to providers; whoever must not allow that gives it
// a proxy of its own.
//
// Sources: RFC 9449 (DPoP), RFC 9068 (JWT access tokens), RFC 7638
// (thumbprints), RFC 8725 (JWT best current practices), OpenID Connect
// Discovery 1.0. JOSE and discovery are those of go-jose and go-oidc.
package oidc
