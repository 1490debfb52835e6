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
	"time"

	"github.com/logferry/logferry/pkg/event"
	"github.com/logferry/logferry/pkg/fault"
	"github.com/logferry/logferry/pkg/fetcher/entra/auth"
)

const (
	mostBody      = 32 << 20 // of a page
	mostErrorBody = 64 << 10 // of any other reply
)

// reader reads the pages of one slice. Its memory is used again for other slices.
type reader struct {
	f     *Fetcher
	row   Stream
	slice event.Slice
	page  int // that is being read, from 1
	split splitter
	body  []byte
}

func (rd *reader) begin(f *Fetcher, row Stream, s event.Slice) {
	rd.f, rd.row, rd.slice, rd.page = f, row, s, 1
	rd.split.timeMember, rd.split.volatile = row.TimeMember, row.Volatile
}

func (rd *reader) fail(kind Kind, err error) error {
	return &SliceError{Kind: kind, Stream: rd.row.Name, Page: rd.page, Err: err}
}

// reply is one HTTP reply, its body read to the end.
type reply struct {
	status int
	header http.Header
	date   time.Time // zero if it named none
	sent   time.Time // when its request was
	body   []byte
}

// read gets one page. The only request that is sent twice is one whose token was refused: once, with a new token, and by
// way of the limiter like any other.
func (rd *reader) read(ctx context.Context, link string) (event.Page, error) {
	for renewed := false; ; renewed = true {
		queued := time.Now()
		if err := rd.f.limit.wait(ctx, rd.slice.Reader); err != nil {
			return event.Page{}, rd.fail(KindCanceled, err)
		}
		waited := time.Since(queued)
		// Only now: a token could run out while its request waits for a long pause to end.
		token, err := rd.f.source.Token(ctx)
		if err != nil {
			return event.Page{}, rd.signInError(ctx, err)
		}
		told := Request{Stream: rd.row.Name, Reader: rd.slice.Reader, Page: rd.page, Method: http.MethodGet, Waited: waited, ClientRequestID: newGUID()}
		got, err := rd.get(ctx, link, token, &told)
		if err == nil && got.status == http.StatusUnauthorized && !renewed {
			told.Err = errors.New("the access token was refused: getting a new one")
			rd.f.observe(told)
			rd.f.source.Discard(token)
			continue
		}
		var page event.Page
		if err == nil {
			page, err = rd.judge(got, token)
		}
		told.Rows, told.Err = len(page.Records), err
		rd.f.observe(told)
		return page, err
	}
}

// get sends one request and reads the reply.
func (rd *reader) get(ctx context.Context, link string, token auth.Token, told *Request) (reply, error) {
	sent := time.Now()
	pageCtx, cancel := context.WithTimeout(ctx, rd.f.options.Timeout)
	defer cancel()
	defer func() { told.Duration = time.Since(sent) }()
	req, err := http.NewRequestWithContext(rd.paceRepeats(pageCtx), http.MethodGet, link, nil)
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
	limit := mostErrorBody
	if got.status == http.StatusOK {
		limit = mostBody
	}
	err = rd.readBody(resp.Body, resp.ContentLength, limit)
	got.body, told.Bytes = rd.body, len(rd.body)
	switch {
	case err == nil || got.status != http.StatusOK: // a refusal's status says enough, whatever became of its body
		return got, nil
	case errors.Is(err, errBodyTooLarge):
		return reply{}, rd.fail(KindTooLarge, fmt.Errorf("read body: over %d MiB: ask for a smaller page", mostBody>>20))
	}
	err = rd.transportError(ctx, err)
	if broken, ok := errors.AsType[*SliceError](err); ok && broken.Kind == KindNetwork {
		broken.Kind, broken.Err = KindTruncated, fmt.Errorf("read body: broken off after %d bytes: %w", len(rd.body), broken.Err)
	}
	return reply{}, err
}

// paceRepeats makes a repeat of net/http's own pass the limiter, too: a GET whose connection was used before and breaks ahead
// of the reply is sent again at once.
func (rd *reader) paceRepeats(ctx context.Context) context.Context {
	tries := 0
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(string) {
		if tries++; tries > 1 {
			_ = rd.f.limit.wait(ctx, rd.slice.Reader) // its only error is ctx's, which ends the request anyway
		}
	}})
}

var errBodyTooLarge = errors.New("body too large")

// readBody reads all of body into rd.body, whose memory is used again. size is what the reply announces, -1 if nothing.
func (rd *reader) readBody(body io.Reader, size int64, limit int) error {
	// One byte more than the body, so that its end is seen without growing.
	if want := int(min(size, int64(limit))) + 1; want > cap(rd.body) {
		rd.body = make([]byte, 0, want)
	}
	rd.body = rd.body[:0]
	for {
		if len(rd.body) == cap(rd.body) {
			grown := make([]byte, len(rd.body), max(64<<10, 2*cap(rd.body)))
			copy(grown, rd.body)
			rd.body = grown
		}
		n, err := body.Read(rd.body[len(rd.body):cap(rd.body)])
		rd.body = rd.body[:len(rd.body)+n]
		if len(rd.body) > limit {
			rd.body = rd.body[:limit]
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
		return rd.fail(KindNetwork, fault.Block(fmt.Errorf("get page: the certificate of %s is not trusted: set tls.ca_file if a proxy breaks TLS open: %w", rd.f.place.graph.Host, err)))
	}
	return rd.fail(KindNetwork, fmt.Errorf("get page: %w", err))
}

func (rd *reader) signInError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return rd.fail(KindCanceled, ctx.Err())
	}
	return rd.fail(KindAccess, err)
}

// newGUID gives a random UUID (RFC 9562 version 4).
func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
