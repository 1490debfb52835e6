package entra

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"github.com/logferry/logferry/pkg/budget"
	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
)

const (
	mostBody      = 32 << 20 // of a page
	mostErrorBody = 64 << 10 // of any other reply
)

// reader reads the pages of one slice.
type reader struct {
	f      *Fetcher
	row    Stream
	slice  event.Slice
	page   int         // that is being read, from 1
	tries  int         // that the page takes, from 1: see licences
	rows   int         // of the pages so far
	next   string      // @odata.nextLink of the page that was read last
	memory *pageMemory // of the page that was read last, until drop
}

// drop gives back the page's memory. A slice that waits for its turn holds none.
func (rd *reader) drop() {
	if rd.memory != nil {
		rd.f.shared.drop(rd.memory)
		rd.memory = nil
	}
}

// inOneGo is how many pages of a slice are read without a pause for others of its rank: most slices are no longer, and one that
// is must not keep quiet streams waiting.
const inOneGo = 10

// rank lets a slice that was begun go on before others like it: its records are there soonest when it is read in one go. A page
// that was refused waits like any other: it may be refused for days.
func (rd *reader) rank() time.Duration {
	if rd.page > 1 && rd.page <= inOneGo && rd.tries <= 1 {
		return rd.slice.Rank + 1
	}
	return rd.slice.Rank
}

// limit is the budget that the stream's requests count against: a pause of one class leaves the others alone.
func (rd *reader) limit() *budget.Limiter { return rd.f.limits[rd.row.Budget] }

func (rd *reader) fail(kind Kind, err error) error {
	return &SliceError{Kind: kind, Stream: rd.row.Name, Page: rd.page, Err: err}
}

// reply is one HTTP reply, its body read to the end.
type reply struct {
	status int
	header http.Header
	date   time.Time // the service's when it answered
	sent   time.Time // when its request was
	body   []byte    // of a page: its reader's memory
}

// read gets one page. A request is sent again, by way of the limiter like any other, if its token was refused: once, with a new
// token; and if the licence is said to be missing of a stream that was read just now.
func (rd *reader) read(ctx context.Context, link string) (event.Page, error) {
	renewed := false
	for rd.tries = 1; ; {
		token, waited, err := rd.turn(ctx)
		if err != nil {
			return event.Page{}, err
		}
		told := Request{Stream: rd.row.Name, Reader: rd.slice.Reader, Page: rd.page, Method: http.MethodGet, Waited: waited, ClientRequestID: newGUID()}
		got, err := rd.get(ctx, link, token, &told)
		if err == nil && got.status == http.StatusUnauthorized && !renewed && !parseError(got.body).isUnprovisioned() {
			told.Err = errors.New("the access token was refused: getting a new one")
			rd.f.observe(told)
			rd.f.source.Discard(token)
			renewed = true
			continue
		}
		var page event.Page
		if err == nil {
			page, err = rd.judge(got, token)
			rd.passOn(told, got, page, err)
		}
		told.Rows, told.Err = len(page.Records), err
		rd.f.observe(told)
		if KindOf(err) != KindLicence || rd.tries >= licenceTries || !rd.f.licences.proved(rd.row.Name, time.Now()) {
			return page, err
		}
		rd.tries++
	}
}

// promptly is how soon after its turn has come a request must leave. The limiter's margin allows for that much.
const promptly = 50 * time.Millisecond

// turn waits until the next request may leave and gives the token to send it with. There is one already when the waiting
// begins: signing in takes time, and those whose turn came meanwhile would leave all at once. A token that has run out during
// the wait is replaced; if that took long, the turn is over, and the request waits for another one.
func (rd *reader) turn(ctx context.Context) (token auth.Token, waited time.Duration, err error) {
	if _, err = rd.f.source.Token(ctx); err != nil {
		return token, 0, rd.signInError(ctx, err)
	}
	for again := false; ; again = true {
		queued := time.Now()
		if err := rd.limit().Wait(ctx, rd.slice.Class, rd.rank()); err != nil {
			return token, waited, rd.fail(KindCanceled, err)
		}
		if err := rd.turnElsewhere(ctx); err != nil {
			return token, waited, err
		}
		came := time.Now()
		waited += came.Sub(queued)
		if token, err = rd.f.source.Token(ctx); err != nil {
			return token, waited, rd.signInError(ctx, err)
		}
		if again || time.Since(came) <= promptly {
			return token, waited, nil
		}
	}
}

// get sends one request and reads the reply.
func (rd *reader) get(ctx context.Context, link string, token auth.Token, told *Request) (reply, error) {
	sent := time.Now()
	pageCtx, cancel := context.WithTimeout(ctx, rd.f.options.Timeout)
	defer cancel()
	defer func() { told.Duration = time.Since(sent) }()
	req, err := http.NewRequestWithContext(rd.paceElsewhere(rd.paceRepeats(pageCtx)), http.MethodGet, link, nil)
	if err != nil {
		return reply{}, rd.fail(KindLink, errors.New("make request: the address is not a URL"))
	}
	told.URL = cutTokens(req.URL)
	req.Header.Set("Authorization", "Bearer "+token.Access)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Prefer", "include-unknown-enum-members") // else members younger than the API's version all read unknownFutureValue
	req.Header.Set("User-Agent", rd.f.options.UserAgent)
	req.Header.Set("Client-Request-Id", told.ClientRequestID)
	resp, err := rd.f.client.Do(req)
	if err != nil {
		return reply{}, rd.transportError(ctx, err)
	}
	defer resp.Body.Close()
	told.Status, told.RequestID, told.Diagnostic = resp.StatusCode, resp.Header.Get("Request-Id"), resp.Header.Get("X-Ms-Ags-Diagnostic")
	got := reply{status: resp.StatusCode, header: resp.Header, date: rd.f.clock.heard(resp.Header), sent: sent}
	if got.status != http.StatusOK {
		// A refusal's status says enough, whatever becomes of its body.
		got.body, _ = io.ReadAll(io.LimitReader(resp.Body, mostErrorBody))
		told.Bytes = len(got.body)
		return got, nil
	}
	if told.Bytes, err = rd.receive(ctx, pageCtx, resp); err != nil {
		return reply{}, err
	}
	got.body = rd.memory.body
	return got, nil
}

// receive reads a page's body into memory and gives how many bytes came, also with an error. ctx is the caller's, pageCtx the
// request's.
func (rd *reader) receive(ctx, pageCtx context.Context, resp *http.Response) (n int, err error) {
	body, err := rd.f.shared.begin(resp.Body)
	defer rd.f.shared.end(body)
	n = body.Buffered()
	if err == nil {
		if rd.memory, err = rd.f.shared.hold(pageCtx); err != nil {
			return n, rd.noRoom(ctx)
		}
		err = rd.memory.read(body, resp.ContentLength)
		n = len(rd.memory.body)
	}
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, errBodyTooLarge):
		return n, rd.fail(KindTooLarge, fmt.Errorf("read body: over %d MiB: ask for a smaller page", mostBody>>20))
	}
	err = rd.transportError(ctx, err)
	if broken, ok := errors.AsType[*SliceError](err); ok && broken.Kind == KindNetwork {
		broken.Kind, broken.Err = KindTruncated, fmt.Errorf("read body: broken off after %d bytes: %w", n, broken.Err)
	}
	return n, err
}

func (rd *reader) noRoom(ctx context.Context) error {
	if ctx.Err() != nil {
		return rd.fail(KindCanceled, ctx.Err())
	}
	return rd.fail(KindMemory, fmt.Errorf("read body: %d pages were in memory for %s, and none of them was handled", heldPages, rd.f.options.Timeout))
}

// paceRepeats makes a repeat of net/http's own pass the limiter, too: a GET whose connection was used before and breaks ahead
// of the reply is sent again at once.
func (rd *reader) paceRepeats(ctx context.Context) context.Context {
	tries := 0
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(string) {
		if tries++; tries > 1 {
			_ = rd.limit().Wait(ctx, rd.slice.Class, rd.rank()) // its only error is ctx's, which ends the request anyway
		}
	}})
}

var errBodyTooLarge = errors.New("body too large")

// read reads all of body into m.body, whose memory is used again. size is what the reply announces, -1 if nothing.
func (m *pageMemory) read(body io.Reader, size int64) error {
	// One byte more than the body, so that its end is seen without growing.
	if want := int(min(size, mostBody)) + 1; want > cap(m.body) {
		m.body = make([]byte, 0, want)
	}
	m.body = m.body[:0]
	for {
		if len(m.body) == cap(m.body) {
			grown := make([]byte, len(m.body), max(64<<10, min(2*cap(m.body), mostBody+1)))
			copy(grown, m.body)
			m.body = grown
		}
		n, err := body.Read(m.body[len(m.body):cap(m.body)])
		m.body = m.body[:len(m.body)+n]
		if len(m.body) > mostBody {
			return errBodyTooLarge
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// transportError judges a request that got no complete reply. ctx is the caller's.
func (rd *reader) transportError(ctx context.Context, err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		err = at.Err // the address holds the page token
	}
	var timeout interface{ Timeout() bool }
	switch {
	case ctx.Err() != nil:
		return rd.fail(KindCanceled, ctx.Err())
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		return rd.fail(KindTimeout, fmt.Errorf("get page: no complete reply within %s: %w", rd.f.options.Timeout, err))
	case isUntrusted(err):
		return explain(CauseTrust, rd.fail(KindNetwork, fault.Block(fmt.Errorf("get page: the certificate of %s is not trusted: set tls.ca_file if a proxy breaks TLS open: %w", rd.f.place.graph.Host, err))))
	}
	return rd.fail(KindNetwork, fmt.Errorf("get page: %w", err))
}

func (rd *reader) signInError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return rd.fail(KindCanceled, ctx.Err())
	}
	if fault.Of(err) != fault.Blocked {
		return rd.fail(KindAccess, err)
	}
	if strings.Contains(err.Error(), assertionTime) {
		err = fmt.Errorf("%w%s", err, rd.f.clockFault())
	}
	return explain(CauseSignIn, rd.fail(KindAccess, fault.Recheck(signInRecheck, err)))
}

const (
	// signInRecheck is how soon a sign-in that was refused is tried again at the latest: a new secret is to be in use within a
	// minute.
	signInRecheck = time.Minute
	// assertionTime is the error of the sign-in service about a signature that has ended or not begun.
	assertionTime = "AADSTS700024"
)

// newGUID gives a random UUID (RFC 9562 version 4).
func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
