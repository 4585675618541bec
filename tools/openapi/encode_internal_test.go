package openapi

import (
	"encoding/json"
	"strings"
	"testing"
)

// The examples of the OpenAPI specification (3.1.1, section 4.8.12.4), and what a stranger would try.
func TestStyles(t *testing.T) {
	t.Parallel()
	const object, list = `{"R":100,"G":200,"B":150}`, `["blue","black","brown"]`
	for _, c := range []struct{ in, style, explode, value, want string }{
		{"path", "matrix", "", `"blue"`, ";color=blue"},
		{"path", "matrix", "", list, ";color=blue,black,brown"},
		{"path", "matrix", "", object, ";color=B,150,G,200,R,100"},
		{"path", "matrix", "explode", list, ";color=blue;color=black;color=brown"},
		{"path", "matrix", "explode", object, ";B=150;G=200;R=100"},
		{"path", "label", "", `"blue"`, ".blue"},
		{"path", "label", "", list, ".blue,black,brown"},
		{"path", "label", "explode", list, ".blue.black.brown"},
		{"path", "label", "explode", object, ".B=150.G=200.R=100"},
		{"path", "simple", "", `"blue"`, "blue"},
		{"path", "simple", "", list, "blue,black,brown"},
		{"path", "simple", "", object, "B,150,G,200,R,100"},
		{"path", "simple", "explode", object, "B=150,G=200,R=100"},
		{"path", "simple", "", `"a/b?c=d&e#f;g %"`, "a%2Fb%3Fc%3Dd%26e%23f%3Bg%20%25"},
		{"path", "simple", "", `["a,b","c"]`, "a%2Cb,c"},
		{"query", "form", "", list, "color=blue,black,brown"},
		{"query", "form", "", object, "color=B,150,G,200,R,100"},
		{"query", "form", "explode", `"blue"`, "color=blue"},
		{"query", "form", "explode", `""`, "color="},
		{"query", "form", "explode", `1.50`, "color=1.50"},
		{"query", "form", "explode", `true`, "color=true"},
		{"query", "form", "explode", list, "color=blue&color=black&color=brown"},
		{"query", "form", "explode", `[]`, ""},
		{"query", "form", "explode", object, "B=150&G=200&R=100"},
		{"query", "form", "explode", `"a&b=c+d"`, "color=a%26b%3Dc%2Bd"},
		{"query", "spaceDelimited", "", list, "color=blue%20black%20brown"},
		{"query", "pipeDelimited", "", list, "color=blue%7Cblack%7Cbrown"},
		{"query", "deepObject", "explode", object, "color%5BB%5D=150&color%5BG%5D=200&color%5BR%5D=100"},
		{"query", "deepObject", "explode", `{"a":{"b":[1,2]}}`, "color%5Ba%5D%5Bb%5D=1&color%5Ba%5D%5Bb%5D=2"},
		{"query", "deepObject", "explode", `"x"`, "must be an object"},
		{"query", "form", "explode", `[[1]]`, errNested.Error()},
	} {
		p := parameter{In: c.in, Name: "color", Style: c.style, Explode: c.explode != ""}
		d := json.NewDecoder(strings.NewReader(c.value))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		got, err := p.joined(v, escape)
		if c.in == "query" {
			var all []string
			all, err = p.query(v)
			got = strings.Join(all, "&")
		}
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s %s %s %s: %s, want %s", c.in, c.style, c.explode, c.value, got, c.want)
		}
	}
}
