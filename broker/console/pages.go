package console

import (
	"html/template"
	"net/http"
	"net/url"
	"strings"
)

// The pages of the login are plain: they work without a script.
var pages = template.Must(template.New("").Parse(`
{{- define "head"}}<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
{{- if .Hop}}
<meta http-equiv="refresh" content="0;url={{.Hop}}">{{end}}
<title>{{.Title}} - Deed</title>
<link rel="icon" href="/assets/icon.svg">
<link rel="stylesheet" href="/assets/app.css">
</head>
<body class="plain">
<main class="plain-page">
<h1>{{.Title}}</h1>
{{end}}
{{- define "foot"}}
</main>
</body>
</html>
{{end}}
{{- define "choice"}}{{template "head" .}}<p>Choose where you log in.</p>
<ul class="choices">{{range .Choices}}
<li><a class="button" href="{{.Link}}">{{.Name}}</a></li>{{end}}
</ul>{{template "foot" .}}{{end}}
{{- define "problem"}}{{template "head" .}}<p role="alert">{{.Text}}</p>
<p><a class="button primary" href="{{.Again}}">Log in again</a></p>{{template "foot" .}}{{end}}
{{- define "hop"}}{{template "head" .}}<p><a class="button primary" href="{{.Hop}}">Go on</a></p>{{template "foot" .}}{{end}}
`))

type choice struct{ Name, Link string }

type page struct {
	Title, Text string
	Hop, Again  string
	Choices     []choice
}

func (c *Console) showChoice(w http.ResponseWriter, next string) {
	p := page{Title: "Log in"}
	for _, issuer := range c.cfg.Issuers {
		p.Choices = append(p.Choices, choice{Name: issuer, Link: loginAt(issuer, next)})
	}
	c.show(w, http.StatusOK, "choice", p)
}

func (c *Console) showProblem(w http.ResponseWriter, status int, text, next string) {
	c.show(w, status, "problem", page{Title: "Not logged in", Text: text, Again: loginAt("", next)})
}

// showHop goes on to the page by itself.
func (c *Console) showHop(w http.ResponseWriter, next string) {
	p := page{Title: "Logged in", Hop: "/"}
	if next != "" {
		p.Hop += "#" + next
	}
	c.show(w, http.StatusOK, "hop", p)
}

func loginAt(issuer, next string) string {
	query := url.Values{}
	if issuer != "" {
		query.Set("issuer", issuer)
	}
	if next != "" {
		query.Set("next", next)
	}
	if len(query) == 0 {
		return "/login"
	}
	return "/login?" + query.Encode()
}

func (c *Console) show(w http.ResponseWriter, status int, name string, p page) {
	var body strings.Builder
	if err := pages.ExecuteTemplate(&body, name, p); err != nil {
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body.String())) // the browser may have gone
}
