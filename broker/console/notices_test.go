package console_test

import (
	"fmt"
	"testing"

	permission "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/chromedp"
)

// told waits until the browser shows a notification of a call, with this title.
func (b *browser) told(tag, title string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`(navigator.serviceWorker.ready.then((r) => r.getNotifications()).then((all) => { window.notices = all.map((n) => n.tag + ' ' + n.title) }),
		window.notices?.includes(%q))`, tag+" "+title))
}

// A person who wants it is told: by the page where the broker has no push, and by the
// worker of what the broker pushes.
func TestAPersonIsToldThatACallWaits(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	registered := make(chan serviceworker.RegistrationID, 1)
	must(t, chromedp.Listen(b.ctx, func(event any) {
		if e, ok := event.(*serviceworker.EventWorkerRegistrationUpdated); ok && len(e.Registrations) > 0 {
			select {
			case registered <- e.Registrations[0].RegistrationID:
			default:
			}
		}
	}))
	_, err := chromedp.Call(b.ctx, serviceworker.Enable, cdp.Empty{})
	must(t, err)
	_, err = chromedp.CallBrowser(b.ctx, permission.SetPermission, permission.SetPermissionParams{
		Permission: &permission.PermissionDescriptor{Name: "notifications"}, Setting: permission.PermissionSettingGranted, Origin: s.url,
	})
	must(t, err)
	b.login(s, "bob")
	b.sees("Tell me when a call waits")
	b.do(chromedp.Click(".notices"))
	b.sees("You are told when a call waits")
	b.sees("While this page is open somewhere.")
	b.look("notices")

	s.hold(801, "seen")
	b.sees("seen")
	ask[bool](b, `Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => 'hidden' }), true`)
	id := s.hold(802, "while nobody looks")
	b.told(id, "Approval needed: payments.refund")
	if n := ask[int](b, "window.notices.length"); n != 1 {
		t.Errorf("%d notifications, want only that of the call which nobody saw", n)
	}

	pushed := fmt.Sprintf(`{"v":1,"tag":%q,"state":"approved","title":"Approved: payments.refund","body":"","url":"%s/#/calls/%s","renotify":false}`, id, s.url, id)
	_, err = chromedp.Call(b.ctx, serviceworker.DeliverPushMessage, serviceworker.DeliverPushMessageParams{Origin: s.url, RegistrationID: <-registered, Data: pushed})
	must(t, err)
	b.told(id, "Approved: payments.refund")
	if n := ask[int](b, "window.notices.length"); n != 1 {
		t.Errorf("%d notifications: what was pushed did not replace the one before", n)
	}
	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(s.url))
	b.sees("You are told when a call waits") // still, on the next visit
	b.do(chromedp.Click(".notices"))
	b.sees("Tell me when a call waits")
}
