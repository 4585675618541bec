package console_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/backgroundservice"
	permission "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/chromedp"
)

// notices are what the browser shows on the desktop, in turn, as tag and title. It takes
// some of them away again by itself, so what was shown counts, not what is there.
func (b *browser) notices() <-chan string {
	b.t.Helper()
	shown := make(chan string, 16)
	must(b.t, chromedp.Listen(b.ctx, func(event any) {
		e, ok := event.(*backgroundservice.EventBackgroundServiceEventReceived)
		if !ok || e.BackgroundServiceEvent.EventName != "Notification displayed" {
			return
		}
		for _, m := range e.BackgroundServiceEvent.EventMetadata {
			if m.Key == "Title" {
				shown <- e.BackgroundServiceEvent.InstanceID + " " + m.Value
			}
		}
	}))
	const service = backgroundservice.ServiceNameNotifications
	_, err := chromedp.Call(b.ctx, backgroundservice.StartObserving, backgroundservice.StartObservingParams{Service: service})
	must(b.t, err)
	_, err = chromedp.Call(b.ctx, backgroundservice.SetRecording, backgroundservice.SetRecordingParams{ShouldRecord: true, Service: service})
	must(b.t, err)
	return shown
}

// told waits until the browser shows the next notification, which is to be of this call.
func (b *browser) told(shown <-chan string, tag, title string) {
	b.t.Helper()
	select {
	case got := <-shown:
		if want := tag + " " + title; got != want {
			b.t.Errorf("the browser tells %q, want %q", got, want)
		}
	case <-time.After(patience):
		b.t.Fatalf("the browser does not tell %q\n%s", title, b.text())
	}
}

// untilNotices waits for what is true of all notices that are there. It asks for them one
// after the other: they are slow to come where the machine has much to do.
func (b *browser) untilNotices(what string) {
	b.t.Helper()
	ask[bool](b, "window.found = undefined, true")
	b.until(`(window.asking ??= navigator.serviceWorker.ready.then((r) => r.getNotifications()).then((all) => { window.found = ` + what + `; window.asking = undefined }), window.found)`)
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
	shown := b.notices()
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
	b.told(shown, id, "Approval needed: payments.refund") // and nothing of the call that was seen
	b.untilNotices("all.length === 1 && all[0].requireInteraction")

	pushed := fmt.Sprintf(`{"v":1,"tag":%q,"state":"approved","title":"Approved: payments.refund","body":"","url":"%s/#/calls/%s","renotify":false}`, id, s.url, id)
	_, err = chromedp.Call(b.ctx, serviceworker.DeliverPushMessage, serviceworker.DeliverPushMessageParams{Origin: s.url, RegistrationID: <-registered, Data: pushed})
	must(t, err)
	b.told(shown, id, "Approved: payments.refund")
	b.untilNotices("all.every((n) => n.title.startsWith('Approved'))")
	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(s.url))
	b.sees("You are told when a call waits") // still, on the next visit
	b.do(chromedp.Click(".notices"))
	b.sees("Tell me when a call waits")
}
