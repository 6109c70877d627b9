package adamem

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

const (
	firstDelay   = 100 * time.Millisecond
	longestDelay = 2 * time.Second
)

type method[Request, Response any] = func(context.Context, *Request, ...grpc.CallOption) (*Response, error)

// read carries out a call that changes nothing, or that changes the same when it is repeated.
func read[Request, Response any](
	ctx context.Context, c *Client, call method[Request, Response], request *Request,
) (*Response, error) {
	return repeated(ctx, c, call, request, c.maxAttempts)
}

// mutate carries out a call that is repeated only with a request id: without one a second call might meet what the first
// one did.
func mutate[Request, Response any](
	ctx context.Context, c *Client, call method[Request, Response], request *Request,
) (*Response, error) {
	maxAttempts := 1
	if identified, ok := any(request).(interface{ GetRequestId() string }); ok && identified.GetRequestId() != "" {
		maxAttempts = c.maxAttempts
	}
	return repeated(ctx, c, call, request, maxAttempts)
}

func repeated[Request, Response any](
	ctx context.Context, c *Client, call method[Request, Response], request *Request, maxAttempts int,
) (*Response, error) {
	if _, limited := ctx.Deadline(); !limited && c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	tries := attempts{max: maxAttempts}
	for {
		response, err := call(ctx, request)
		if err == nil {
			return response, nil
		}
		if err = tries.wait(ctx, err); err != nil {
			return nil, explained(err, any(request))
		}
	}
}

// explained names the request as the cause where it cannot be encoded: gRPC calls that an internal error.
func explained(err error, request any) error {
	failure, ok := err.(*Error)
	message, isMessage := request.(proto.Message)
	if !ok || failure.Code != codes.Internal || !isMessage {
		return err
	}
	if _, problem := proto.Marshal(message); problem != nil {
		return invalid("request", "cannot be sent: "+problem.Error())
	}
	return err
}

// attempts are those of one call.
type attempts struct {
	// max is how often it may fail. Zero: only the context limits it.
	max     int
	nFailed int
}

// streamAttempts are those of work of an hour, which should outlive a restart of the server: it waits longer than a call.
func (c *Client) streamAttempts() *attempts {
	if c.maxAttempts == 1 {
		return &attempts{max: 1}
	}
	return &attempts{max: 2 * c.maxAttempts}
}

// wait returns nil when it is time for the next attempt, else what went wrong: only UNAVAILABLE is worth another one. It
// waits as long as the server's RetryInfo says, else longer each time.
func (a *attempts) wait(ctx context.Context, err error) error {
	failure := errorFromRPC(err)
	a.nFailed++
	if failure.Code != codes.Unavailable || a.nFailed == a.max {
		return failure
	}
	delay := failure.RetryAfter
	if delay <= 0 {
		delay = min(longestDelay, firstDelay<<min(a.nFailed-1, 10))
		delay = time.Duration(float64(delay) * (0.8 + 0.4*rand.Float64()))
	}
	if deadline, limited := ctx.Deadline(); limited && time.Until(deadline) <= delay {
		return failure
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errorFromContext(ctx)
	}
}

// succeed counts failures from zero again; for streams, which may make progress between failures.
func (a *attempts) succeed() { a.nFailed = 0 }
