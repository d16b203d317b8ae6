// Package policy parses, compiles, evaluates and compares policies in the IAM
// language, strictly, for scope-downs: every layer must allow, any deny wins,
// and an absent layer allows nothing. Standard library only.
//
// [Parse] compiles a document once; [Document.Evaluate] and [Allowed] then
// decide without allocating, from any number of goroutines. [Subset] says
// whether a profile allows everything that a scope-down allows, and if not,
// what it does not. [Marshal] with [Literal], [S3Prefix], [S3Object] and
// [S3List] writes policies that hold names which somebody else chose.
// [Lint] lists what is allowed and seldom meant.
//
// # Grammar
//
//	element            here                                   AWS
//	Version            2012-10-17, required                   also 2008-10-17, which is the default
//	Statement          an array that is not empty             also one object
//	Id, Sid            read and not kept; Sid of letters and  same
//	                   digits, unique
//	Principal          refused                                refused in identity and session policies
//	Effect             Allow, Deny                            same
//	Action, NotAction  "*" or service:Name; * ? in the name   same; case does not count in either
//	Resource, Not…     globs and variables; * crosses / and : same; must be an ARN or "*" (Lint says so)
//	* within an ARN    in the first five parts, only at       * reaches past a colon at the end of a
//	                   the end of a part                      part only
//	variables          ${key}, ${key, 'default'}, ${*} ${?}   same
//	                   ${$}; in Resource, String…, Arn…
//	String…            Equals, NotEquals, EqualsIgnoreCase,   same
//	                   NotEqualsIgnoreCase (ASCII), Like,
//	                   NotLike
//	Numeric…           exact decimals, no exponent            same, exponents not documented
//	Date…              2006-01-02, with time and zone, epoch  same, and years alone
//	                   seconds of five digits or more
//	Bool, Null         true, false                            same
//	BinaryEquals       canonical base64                       base64
//	IpAddress, Not…    networks and addresses, v4 and v6      same
//	Arn…               part by part, six parts                same
//	…IfExists          every operator but Null                same
//	ForAllValues:      holds when the key is absent           same
//	ForAnyValue:       false when the key is absent; with     same; IfExists not documented
//	                   IfExists undecided
//	size               2,048 characters, white space counts   same for session policies
//	characters         U+0020 to U+007E, U+00A0 to U+00FF,    also U+007F to U+009F, and any
//	                   escaped ones too                       character that is escaped
//
// # What counts against the caller
//
// What cannot be decided keeps an allow from applying and makes a deny apply: a
// variable without a value where some value would match (in NotResource: any),
// a key with several values under an operator for one, a value of the wrong
// form, such as a date that is none. IAM's pages leave most of this open; a
// variable without a value "might" make a statement invalid there. A request
// that is none, or longer than patterns are matched with (see [ErrRequest]), is
// denied.
//
// A deny whose condition names an absent key does not apply, as in IAM. Write
// it with Null or IfExists where that matters.
//
// # What it refuses
//
//	ErrMalformed  unknown, duplicate or case-variant keys; Principal; empty
//	              lists, strings and objects; unknown operators; characters as
//	              above; values of the wrong form; data after the document.
//	              The *ParseError says where and why
//	ErrTooLarge   more than 2,048 characters
//	ErrEmpty      no document at all
//	ErrName       a builder's bucket, prefix or action
//	ErrRequest    a request that no policy can decide
//
// # What it does not protect against
//
// It decides what it is told: a context that the caller of Evaluate fills with
// wrong values gives wrong decisions. It knows no actions and resources of any
// service, so it cannot say that an action does not exist, or that an action
// ignores its resource. [Subset] proves its yes for the semantics above; for
// the security of a session both layers are evaluated at access time, and AWS's
// own evaluation has the last word where AWS evaluates.
//
// Sources: AWS IAM User Guide, "IAM JSON policy elements reference", "Condition
// operators", "Single-valued vs. multivalued context keys", "Policy variables",
// "Grammar of the IAM JSON policy language"; AWS STS API reference, AssumeRole;
// Amazon S3 User Guide, "General purpose bucket naming rules".
package policy
