package console_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/deedbroker/deed/cmd/testbed/need"
)

// size is one of a screen, in CSS pixels.
type size struct {
	name          string
	width, height int64
}

var (
	desktop = size{"desktop", 1100, 900}
	phone   = size{"phone", 360, 740}
)

// finding is what axe-core says is in somebody's way.
type finding struct {
	ID, Help string
	Nodes    []struct {
		HTML           string
		FailureSummary string
	}
}

// look finds what keeps anybody from using the page as it is now: on a desktop and a
// phone, light and dark. Where DEED_TEST_PICTURES names a directory, pictures go there.
func (b *browser) look(name string) {
	b.t.Helper()
	for _, s := range []size{phone, desktop} {
		b.do(chromedp.EmulateViewport(s.width, s.height))
		for _, scheme := range []string{"dark", "light"} {
			b.scheme(scheme)
			for _, f := range b.findings() {
				for _, n := range f.Nodes {
					b.t.Errorf("%s, %s, %s: %s (%s): %s\n%s", name, s.name, scheme, f.Help, f.ID, n.HTML, n.FailureSummary)
				}
			}
			b.picture(strings.Join([]string{name, s.name, scheme}, "-"))
		}
		if wide := ask[int64](b, "document.documentElement.scrollWidth"); wide > s.width {
			widest := ask[string](b, fmt.Sprintf("[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > %d).map(e => e.outerHTML.slice(0, 120)).slice(-3).join('\\n')", s.width))
			b.t.Errorf("%s: the page is %d wide on a %s of %d:\n%s", name, wide, s.name, s.width, widest)
		}
	}
}

// findings are those of axe-core with all its rules.
func (b *browser) findings() []finding {
	b.t.Helper()
	if !ask[bool](b, "'axe' in window") {
		script, err := os.ReadFile(need.Env(b.t, need.Axe))
		must(b.t, err)
		b.do(chromedp.Evaluate[chromedp.Void](string(script)))
	}
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]finding](
		`axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations)`, chromedp.EvalAwaitPromise))
	must(b.t, err)
	return found
}

// scheme has the page in light or dark, and without what moves: half-way to its place,
// nothing has the colours that it will have.
func (b *browser) scheme(scheme string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
	must(b.t, err)
}

// picture saves what the page looks like, where DEED_TEST_PICTURES says; it proves nothing.
func (b *browser) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("DEED_TEST_PICTURES")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	must(b.t, err)
	must(b.t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600))
}

// Axe-core must find what is wrong, or it proves nothing that it finds nothing.
func TestWhatIsInSomebodysWayIsFound(t *testing.T) {
	t.Parallel()
	s, b := start(t), openBrowser(t)
	b.do(chromedp.Navigate(s.url+"/"), chromedp.WaitVisible("#log-in"))
	ask[bool](b, `document.querySelector('main').append(document.createElement('input')), true`)
	found := b.findings()
	if len(found) != 1 || found[0].ID != "label" {
		t.Errorf("a field without a label is %+v", found)
	}
}
