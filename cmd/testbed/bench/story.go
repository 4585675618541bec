package bench

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Who and what a story is of.
const (
	storyPeople   = 200
	storyAgents   = 12
	perStoryAgent = 3 // agents that act for one person
	storyLeads    = 5
	storyAccounts = 3
	storyNotes    = 200
	storyWords    = 3000 // that notes are made of, some of them much more often than others
	wordsOfANote  = 12
	storySeed     = 4711
)

const storyPolicy = `
@id("everybody") permit (principal, action in Action::"call", resource);
@id("readers") permit (principal in Role::"auditor", action == Action::"read", resource);
@id("leads") permit (principal in Role::"lead", action == Action::"approve", resource);
@id("large-refunds-by-hand") @reason("Refunds over 500 are made by people.")
forbid (principal, action == Action::"payments.refund", resource) when { context.input.amount > 500 };
@id("refunds-need-a-lead") @approvers("lead") @expires("15m") @reason("Refunds over 100 need a lead.")
forbid (principal, action == Action::"payments.refund", resource)
when { context.input.amount > 100 } unless { context.approvals.count >= 1 };
@id("only-notes") @reason("Write below notes.")
forbid (principal, action == Action::"files.write_file", resource) unless { context.input.path like "notes/*" };
`

// storyDomains and storyUpstreams are deed.yaml's.
func storyDomains() map[string]any {
	kept := map[string]any{"retention": "30d", "partitions": 1}
	return map[string]any{"bench": kept, "payments": kept, "source": kept}
}

func storyUpstreams(shelf, ledger string) map[string]any {
	return map[string]any{
		"files":    map[string]any{"domain": "source", "builtin": "files", "dir": shelf},
		"payments": map[string]any{"domain": "payments", "builtin": "ledger", "dir": ledger},
	}
}

// told is one call of a story.
type told struct {
	person, agent int
	tool          string // as the endpoint has it
	arguments     string
	trace         string
	fails         bool // it is refused, or the tool's answer is an error
}

// tell is the n-th call of the story, always the same.
func tell(n int64) told {
	r := rand.New(rand.NewPCG(storySeed, uint64(n))) //nolint:gosec // the same each time, on purpose
	t := told{person: skewed(r, storyPeople), trace: traceOf(n)}
	t.agent = (t.person + r.IntN(perStoryAgent)) % storyAgents
	object := func(kv ...any) {
		fields := map[string]any{}
		for i := 0; i < len(kv); i += 2 {
			fields[kv[i].(string)] = kv[i+1] //nolint:forcetypeassert // written below
		}
		text, _ := json.Marshal(fields) // strings and numbers always marshal
		t.arguments = string(text)
	}
	account := []string{"acc-ada", "acc-alan", "acc-grace"}[r.IntN(storyAccounts)]
	switch at := r.IntN(1000); {
	case at < 400:
		t.tool = "payments__balance"
		object("account", account)
	case at < 550:
		t.tool = "payments__payments"
		object("account", account, "limit", 1+r.IntN(20))
	case at < 700:
		t.tool = "files__read_file"
		note := r.IntN(storyNotes + storyNotes/20)
		t.fails = note >= storyNotes
		object("path", notePath(note))
	case at < 930:
		t.tool = "files__write_file"
		object("path", notePath(r.IntN(storyNotes)), "content", "ticket-"+strconv.FormatInt(n, 10)+": "+noteOf(r))
	case at < 950:
		t.tool, t.fails = "files__write_file", true
		object("path", "etc/"+word(r.IntN(storyWords)), "content", noteOf(r))
	case at < 960:
		t.tool = "payments__charge"
		object("account", account, "amount", 1+r.IntN(900), "description", "order "+strconv.FormatInt(n, 10)+" of a "+word(skewed(r, storyWords)))
	case at < 998:
		t.tool, t.fails = "payments__refund", true // of a payment that is not there, or too much
		object("payment", "pay-"+strconv.Itoa(9000+r.IntN(1000)), "amount", []int{50, 50, 700}[r.IntN(3)], "reason", "broken "+word(skewed(r, storyWords)))
	default:
		t.tool = "payments__refund" // which waits for a person
		object("payment", "pay-"+strconv.Itoa(9000+r.IntN(1000)), "amount", 101+r.IntN(300), "reason", "late "+word(skewed(r, storyWords)))
	}
	return t
}

// skewed prefers small numbers, as people, agents and words differ in how often they come.
func skewed(r *rand.Rand, n int) int {
	x := r.Float64()
	return int(x * x * x * float64(n))
}

func traceOf(n int64) string { return fmt.Sprintf("%032x", n+1) }

func notePath(n int) string { return "notes/note-" + strconv.Itoa(n) + ".txt" }

func personName(n int) string { return "person-" + strconv.Itoa(n) }

func agentName(n int) string { return "agent-" + strconv.Itoa(n) }

func leadName(n int) string { return "lead-" + strconv.Itoa(n) }

func sessionOf(person, agent int) string { return fmt.Sprintf("session-%d-%d", person, agent) }

// claimsOf say who makes a call: agents of the last third act for another one.
func claimsOf(person, agent int) map[string]any {
	act := map[string]any{"sub": agentName(agent)}
	if agent >= storyAgents-storyAgents/3 {
		act["act"] = map[string]any{"sub": agentName(0)}
	}
	return map[string]any{
		"sub": personName(person), "roles": []string{"support"}, "client_id": agentName(agent), "azp": agentName(agent),
		"act": act, "sid": sessionOf(person, agent),
	}
}

// noteOf is a text of words of which few come often.
func noteOf(r *rand.Rand) string {
	words := make([]string, wordsOfANote)
	for i := range words {
		words[i] = word(skewed(r, storyWords))
	}
	return strings.Join(words, " ")
}

// word is the n-th of a language that sounds like none.
func word(n int) string {
	const consonants, vowels = "bdfgklmnprstvz", "aeiou"
	var b strings.Builder
	for n = n*7919%(14*5*14*5) + 14*5*14; n > 0; n /= 14 * 5 {
		b.WriteByte(consonants[n%14])
		b.WriteByte(vowels[n/14%5])
	}
	return b.String()
}
