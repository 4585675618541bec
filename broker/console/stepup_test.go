package console_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/deedbroker/deed/broker/brokertest"
)

// Where a policy wants a stronger login of who decides, the card leads to it, and back.
func TestAPersonLogsInMoreStronglyToDecide(t *testing.T) {
	t.Parallel()
	s := startWith(t, func(o *brokertest.Options) {
		o.Policies += `
@id("strong-login") @acr("gold") @reason("Deciding needs the second factor.")
forbid (principal, action == Action::"approve", resource)
unless { context.token has acr && context.token.acr == "gold" };
`
	})
	b := openBrowser(t)
	b.login(s, "bob")
	id := s.hold(810, "strongly")
	card := `[data-call="` + id + `"] `
	b.sees("strongly")
	b.sees("Deciding needs the second factor")
	if got := ask[bool](b, `document.querySelector('`+card+`.approve').hidden`); !got {
		t.Error("a person may approve with too weak a login")
	}
	b.look("step-up")
	b.do(chromedp.Click(`//a[text()="Log in more strongly to decide"]`))
	b.sees("will say that this login is gold")
	b.do(chromedp.Click(`//a[text()="bob"]`))
	b.live()
	b.until(`document.querySelector('` + card + `.approve')?.hidden === false`)
	b.rest()
	b.do(chromedp.Focus(strings.TrimSpace(card)))
	b.press("a")
	b.sees("with exactly the arguments above?")
	b.rest()
	b.press("y")
	b.sees("Approved by bob.")
	s.decided(id)
}
