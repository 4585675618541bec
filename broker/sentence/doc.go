// Package sentence puts a call into one sentence, for people who decide on it: by the
// template that an operator wrote for the tool, with the exact arguments filled in.
//
//	Refund {amount} {currency} of payment {payment}
//
// What stands in braces is an argument: its name, or a JSON pointer (RFC 6901) such as
// {/lines/0/sku}. {{ and }} are braces. A tool without a template gets a sentence of
// its name and its arguments.
//
// A sentence is made of parts, each of which says whether it is the operator's text or
// an argument of the agent's: whoever shows it can tell them apart, whatever an
// argument contains.
package sentence
