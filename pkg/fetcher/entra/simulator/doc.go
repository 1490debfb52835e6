// Package simulator is Microsoft Graph's sign-in and audit reports, and the sign-in service in front of them, on loopback or in memory: with made-up
// records by the million, late and changing ones among them, and with faults on demand. Azure AD Graph, the API before it, is served beside it: see legacy.go.
//
// Records are not kept: number i of a stream is a function of the seed, and a page is found by arithmetic on its filter's bounds. See Generate.
//
// # Scripts
//
// A script says which requests are answered with which fault. It is a YAML file with one list, rules; unknown keys are errors. The keys are those of
// Rule, the kinds those of Kind.
//
//	rules:
//	  - kind: throttle           # the third request for a sign-in stream: 429 with Retry-After: 2.128
//	    stream: signins.*
//	    nth: [3]
//	    retry_after: "2.128"     # or "date 30s", or nothing
//	  - kind: error              # an outage from the tenth to the twentieth minute
//	    status: 503
//	    from: 10m
//	    until: 20m
//	  - kind: truncate           # one page of a hundred ends in its middle
//	    probability: 0.01
//	    form: length
//	  - kind: expired_link       # the first two links followed are too old
//	    page: next
//	    times: 2
//	  - kind: error              # the sign-in service is down for its first two requests
//	    path: oauth2
//	    nth: [1, 2]
//	  - kind: date_skew
//	    tenant: contoso.onmicrosoft.com
//	    skew: -90s
//	  - kind: poison             # a record of the ninetieth minute makes each query whose result holds it fail, 500
//	    at: 90m
//	  - kind: long_window        # a query over more than two hours times out after a minute
//	    span: 2h
//	    delay: 1m
//	  - kind: short_result       # every other time, the three oldest rows of a result are missing
//	    every: 2
//	    rows: 3
//
// The order in which a report request is judged: access token (401), budget (429), script, permission and licence (403), query (400), page. What the
// budget refuses does not count for a rule's nth and every, nor does what a rule about results (see Kind) is not about.
package simulator
