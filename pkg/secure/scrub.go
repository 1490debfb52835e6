package secure

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
)

// Redacted stands where something was taken out.
const Redacted = "<redacted>"

// What looks like a secret wherever it stands, and what a peer says of a request that it refuses: that may be the request.
var (
	userinfo = regexp.MustCompile(`://[^\s"<>]*@`) // a password may have an apostrophe in it
	queries  = regexp.MustCompile(`([?&])([^=&\s"'<>]+)=([^&\s"'<>]*)`)
	schemes  = regexp.MustCompile(`(?i)\b(bearer|basic|splunk|apikey)(\s+)([A-Za-z0-9+/=._~:-]{8,})`)
	jwt      = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*)*`)
	entra    = regexp.MustCompile(`[A-Za-z0-9_.~-]{3}[0-9]Q~[A-Za-z0-9_.~-]{20,}`) // a client secret of Microsoft Entra ID
	pem      = regexp.MustCompile(`(?s)-----BEGIN [^-]*-----.*?(-----END [^-]*-----|$)`)
	assigned = regexp.MustCompile(`(?i)\b([a-z_-]*(?:secret|password|passwd|pwd|token|api_?key|authorization|cookie|assertion|signature))=([^\s&"',;]+)`)
	said     = regexp.MustCompile(`(replied with status \d+(?:, code -?\d+)?|begins with) "(?:[^"\\]|\\.)*"`)
	// reasons are words of a cluster, a broker or a collector that have no quotes around them, and may quote the event.
	reasons = regexp.MustCompile(`(replied with status \d+(?:, [^":\n]*)?|record refused|a new one is fetched): [^\n]*`)

	// named are keys whose values nobody else should see; code is what somebody types to sign in.
	named = regexp.MustCompile(`(?i)^([a-z0-9_-]*(secret|password|passwd|pwd|token|api_?key|authorization|cookie|assertion|signature)|user_code|code)$`)
	// literal is a JSON string, with its value where it is a key of one.
	literal = regexp.MustCompile(`("(?:[^"\\]|\\.)*")(\s*:\s*)?("(?:[^"\\]|\\.)*")?`)
)

// shownQueries are parameters of requests that say what was asked for.
var shownQueries = map[string]bool{"$filter": true, "$top": true, "$orderby": true, "$select": true, "api-version": true}

// Scrub takes out of a text what looks like a secret: credentials in URLs and headers, tokens, keys, parameters of unknown URLs, and the
// words of a receiver that has refused something. It is for texts that leave the house. What is a secret and does not look like one it cannot
// know: what is put into errors and logs has to be without them anyway.
func Scrub(text string) string {
	text = pem.ReplaceAllString(text, Redacted)
	text = userinfo.ReplaceAllString(text, "://"+Redacted+"@")
	text = queries.ReplaceAllStringFunc(text, func(found string) string {
		m := queries.FindStringSubmatch(found)
		if shownQueries[strings.ToLower(strings.Replace(m[2], "%24", "$", 1))] {
			return found
		}
		return m[1] + m[2] + "=" + Redacted
	})
	text = schemes.ReplaceAllStringFunc(text, func(found string) string {
		m := schemes.FindStringSubmatch(found)
		if len(m[3]) < 16 && !strings.ContainsAny(m[3], "0123456789") {
			return found // a word
		}
		return m[1] + m[2] + Redacted
	})
	text = jwt.ReplaceAllString(text, Redacted)
	text = entra.ReplaceAllString(text, Redacted)
	text = assigned.ReplaceAllString(text, "$1="+Redacted)
	text = said.ReplaceAllString(text, `$1 "<left out>"`)
	return reasons.ReplaceAllString(text, "$1: <left out>")
}

// ScrubJSON is Scrub for texts with JSON strings in them, such as log lines: it reads them as what they mean, and knows names of
// members. A string that has no end in its line, as in one that was cut, is taken out. Everything else stays as it is.
func ScrubJSON(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		at := 0
		for _, found := range literal.FindAllStringIndex(line, -1) {
			out.WriteString(Scrub(line[at:found[0]]))
			out.WriteString(scrubMember(line[found[0]:found[1]]))
			at = found[1]
		}
		rest, _, broken := strings.Cut(line[at:], `"`)
		out.WriteString(Scrub(rest))
		if broken {
			out.WriteString(`"` + Redacted + line[len(strings.TrimRight(line, "\n")):])
		}
	}
	return out.String()
}

// scrubMember is for a string, with its value where it is a key of one.
func scrubMember(found string) string {
	m := literal.FindStringSubmatch(found)
	if m[2] == "" || m[3] == "" {
		return scrubLiteral(m[1]) + m[2] + scrubLiteral(m[3])
	}
	var name string
	if json.Unmarshal([]byte(m[1]), &name) == nil && named.MatchString(name) {
		return m[1] + m[2] + `"` + Redacted + `"`
	}
	return m[1] + m[2] + scrubLiteral(m[3])
}

func scrubLiteral(text string) string {
	var s string
	if text == "" || json.Unmarshal([]byte(text), &s) != nil {
		return Scrub(text)
	}
	clean := Scrub(s)
	if clean == s {
		return text
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(clean) // a string always can be
	return strings.TrimSuffix(out.String(), "\n")
}
