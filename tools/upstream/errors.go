package upstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"

	"github.com/deedbroker/deed/tools"
	"github.com/deedbroker/deed/tools/credentials"
	"github.com/deedbroker/deed/tools/web"
)

const maxMessage = 4096 // bytes of a server's error message

var (
	errLost         = errors.New("connection lost")
	errAnswer       = errors.New("its answer is not valid")
	errNotWritten   = errors.New("it does not take requests")
	errClosedOutput = errors.New("it has closed its output")
	errClosedStream = errors.New("it has closed its stream of events")
	errHalf         = errors.New("it took only half of a request")
	errTerminated   = errors.New("the server has ended the session")
	errForbidden    = errors.New("the server demands authorization: configure auth for this upstream (auth.oauth if it speaks OAuth)")
)

// statusError is an HTTP status without a JSON-RPC answer.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("it answered with HTTP status %d", int(e)) }

// failure sorts the error of a request that was not answered: sent tells whether
// any of it can have reached the server. It loses the session if there is no point in going on.
// Nothing of what the server sent, nor of the URL, is in the error.
func (s *session) failure(err error, sent bool) error {
	if missing, ok := errors.AsType[*credentials.Error](err); ok {
		if consent, is := errors.AsType[*credentials.ConsentError](missing); is && !consent.More {
			s.lose(missing) // no other call fares better
		}
		return fmt.Errorf("%w: %w", tools.ErrNotSent, missing)
	}
	status, isStatus := errors.AsType[statusError](err)
	switch {
	case errors.Is(err, transport.ErrSessionTerminated):
		s.lose(errTerminated)
		return fmt.Errorf("%w: %w", tools.ErrNotSent, errTerminated)
	case errors.Is(err, transport.ErrAuthorizationRequired):
		return fmt.Errorf("%w: %w", tools.ErrNotSent, errForbidden)
	case errors.Is(err, web.ErrRedirected):
		return fmt.Errorf("%w: %w", tools.ErrNotSent, web.ErrRedirected)
	case isStatus && status >= 400 && status < 500:
		return fmt.Errorf("%w: %w", tools.ErrNotSent, status)
	case isStatus:
		return fmt.Errorf("%w: %w", tools.ErrUncertain, status)
	case errors.Is(err, errNotWritten):
		s.lose(errNotWritten)
		return fmt.Errorf("%w: %w", tools.ErrNotSent, errNotWritten)
	case !sent:
		cause := plain(err)
		s.lose(cause)
		return fmt.Errorf("%w: %w", tools.ErrNotSent, cause)
	}
	for _, known := range []error{errHalf, tools.ErrTooLarge} {
		if errors.Is(err, known) {
			return fmt.Errorf("%w: %w", tools.ErrUncertain, known)
		}
	}
	if errors.Is(err, transport.ErrTransportClosed) {
		return fmt.Errorf("%w: %w", tools.ErrUncertain, errors.Join(s.cause(), errLost))
	}
	return fmt.Errorf("%w: %w", tools.ErrUncertain, errLost)
}

// plain is err without a URL, which may hold a secret.
func plain(err error) error {
	if at, ok := errors.AsType[*url.Error](err); ok {
		return at.Err
	}
	return errLost
}

// matches checks that a response is one, and to this request.
func matches(request transport.JSONRPCRequest, response *transport.JSONRPCResponse) error {
	switch {
	case response == nil, response.Error == nil && len(response.Result) == 0:
		return errAnswer
	case response.Error != nil && response.ID.IsNil():
		return nil // a refusal of what could not be read has no id (JSON-RPC 2.0, section 5)
	case response.ID.String() != request.ID.String():
		return errAnswer
	default:
		return nil
	}
}

func refusal(e *mcp.JSONRPCErrorDetails) *tools.RPCError {
	r := &tools.RPCError{Code: e.Code, Message: strings.ToValidUTF8(e.Message[:min(len(e.Message), maxMessage)], "")}
	if data, err := json.Marshal(e.Data); err == nil && e.Data != nil {
		r.Data = data
	}
	return r
}
