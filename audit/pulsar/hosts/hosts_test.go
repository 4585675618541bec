package hosts_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/deedbroker/deed/audit/pulsar/hosts"
)

func TestWhicheverHostAnswersIsAsked(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 10)
	server := func(name string) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			heard <- name + r.URL.Path + string(body)
		}))
	}
	one, two := server("one"), server("two")
	defer two.Close()
	base, transport, err := hosts.New(one.URL+","+strings.TrimPrefix(two.URL, "http://"), http.DefaultTransport)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: transport}
	ask := func(want string) {
		t.Helper()
		r, err := client.Post(base+"/x", "text/plain", strings.NewReader("!"))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if got := <-heard; got != want {
			t.Errorf("%s was asked, want %s", got, want)
		}
	}
	ask("one/x!")
	one.Close()
	ask("two/x!")
	ask("two/x!")
	two.Close()
	if r, err := client.Get(base); err == nil {
		_ = r.Body.Close()
		t.Error("nobody is there, and somebody answered")
	}
	for _, bad := range []string{"", "pulsar://a:1", "http://", "http://a:1,", "http://a:1,:2"} {
		if _, err := hosts.Split(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
