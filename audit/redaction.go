package audit

// Redaction says of arguments, or of an answer, that they are not on record as they were:
// the payload has marks in place of some of its values. What ran, or was answered, is
// unaltered.
type Redaction struct {
	// Exact commits to all of it as it was. Its salt is kept nowhere, so that nobody can guess
	// what was redacted; the call digest has it, so that approvals are of exactly that.
	Exact  Commitment `json:"exact"`
	Fields []Matched  `json:"fields"` // how many values, by the rule that redacts them
}

// Matched is how many values a rule was about.
type Matched struct {
	Rule string `json:"rule"` // a pattern of the domain, or of secrets the rule's name
	N    int    `json:"n"`
}
