package secrets_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/deedbroker/deed/broker/secrets"
)

// token looks like one of GitHub's. It is put together here, so that nobody takes it for one.
var token = "ghp" + "_" + "0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R"

const (
	random = "8fK2xQ9vLm4Tz7Wc1Rb6Yp3N"
	jwt    = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkFkYSJ9.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
)

func TestSecretsAreFoundWhereverTheyStand(t *testing.T) {
	t.Parallel()
	key := "-----BEGIN " + `PRIVATE KEY-----\n` + strings.Repeat("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj", 3) + `\n-----END ` + "PRIVATE KEY-----"
	for name, tt := range map[string]struct {
		text string
		want []secrets.Found
	}{
		"none":               {`{"amount":150,"note":"broken kettle","order":"A-4711","when":"2026-11-24T03:00:00Z"}`, nil},
		"ids are none":       {`{"id":"019ab2c4-7a31-7bbd-ad54-dd0871a20180","key":"id","sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}`, nil},
		"a token":            {`{"note":"use ` + token + `"}`, []secrets.Found{{"github-pat", 13, 13 + len(token)}}},
		"twice":              {token + " " + token, []secrets.Found{{"github-pat", 0, 40}, {"github-pat", 41, 81}}},
		"said to be allowed": {token + " gitleaks:allow", []secrets.Found{{"github-pat", 0, 40}}},
		"within a line that says that it is none": {`--mount=type=secret, api_key = "` + random + `"`, []secrets.Found{{"generic-api-key", 32, 32 + len(random)}}},
		"too orderly for one":                     {`api_key = "aaaaabbbbbcccccddddd11111"`, nil},
		"a JSON Web Token":                        {`{"note":"` + jwt + `"}`, []secrets.Found{{"jwt", 9, 9 + len(jwt)}}},
		"a key":                                   {`{"k":"` + key + `"}`, []secrets.Found{{"private-key", 6, 6 + len(key)}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := secrets.New().Find(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFindingIsSafeAtOnce(t *testing.T) {
	t.Parallel()
	f := secrets.New()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if got, err := f.Find("use " + token); err != nil || len(got) != 1 {
					t.Errorf("found %v, %v", got, err)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkFind(b *testing.B) {
	f := secrets.New()
	for name, text := range map[string]string{
		"small": `{"amount":150,"currency":"EUR","note":"broken kettle","order":"A-4711","reason":"customer asked"}`,
		"4KB":   strings.Repeat(`{"path":"/srv/files/notes/a.txt","content":"Some ordinary text about kettles and tea","n":42},`, 44),
		"one":   `{"note":"use ` + token + `"}`,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := f.Find(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
