package adamem

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const domain = "adamem"

// Error is what the server, or this client before it sends anything, refuses a call with. Match it with errors.Is and the
// sentinels below, or by Reason; never by Message.
type Error struct {
	// Code is the gRPC status code.
	Code codes.Code
	// Reason is the stable name of the cause, in UPPER_SNAKE; the code's name where the server gave none.
	Reason string
	// Message is one sentence for a person; it may change between versions.
	Message string
	// Metadata are the variables of the message.
	Metadata map[string]string
	// Violations are the fields that are wrong, where Code is InvalidArgument.
	Violations []FieldViolation
	// RetryAfter is how long the server asks to wait before a retry. Zero: it does not say.
	RetryAfter time.Duration

	cause error
}

// FieldViolation is one field of a request and what is wrong with it.
type FieldViolation struct {
	Field, Description string
}

// Error is the reason and the message.
func (e *Error) Error() string { return "adamem: " + e.Reason + ": " + e.Message }

// Unwrap is the error of a file or a context that was the cause, or nil.
func (e *Error) Unwrap() error { return e.cause }

// Is tells whether the error is of a sentinel's kind; context.DeadlineExceeded and context.Canceled count as such.
func (e *Error) Is(target error) bool {
	switch target {
	case context.DeadlineExceeded:
		return e.Code == codes.DeadlineExceeded
	case context.Canceled:
		return e.Code == codes.Canceled
	}
	of, ok := target.(*kind)
	if !ok {
		return false
	}
	if of.reason != "" {
		return e.Reason == of.reason
	}
	return e.Code == of.code
}

// GRPCStatus lets status.FromError and status.Code read the error.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Message) }

// kind is a sentinel: all errors of a status code, or of one reason.
type kind struct {
	code   codes.Code
	reason string
	text   string
}

func (k *kind) Error() string { return "adamem: " + k.text }

func ofCode(c codes.Code, text string) error    { return &kind{code: c, text: text} }
func ofReason(reason string, text string) error { return &kind{reason: reason, text: text} }

// Sentinels of status codes, for errors.Is.
var (
	// ErrInvalidArgument: a value is wrong; Error.Violations name the fields.
	ErrInvalidArgument = ofCode(codes.InvalidArgument, "a value is wrong")
	// ErrNotFound: what the request names does not exist.
	ErrNotFound = ofCode(codes.NotFound, "not found")
	// ErrAlreadyExists: what the request would make exists already.
	ErrAlreadyExists = ofCode(codes.AlreadyExists, "exists already")
	// ErrFailedPrecondition: the request is right, the state it meets is not.
	ErrFailedPrecondition = ofCode(codes.FailedPrecondition, "the state does not allow it")
	// ErrAborted: it lost a race; read again and retry.
	ErrAborted = ofCode(codes.Aborted, "lost a race")
	// ErrResourceExhausted: a quota or a resource of the server is used up.
	ErrResourceExhausted = ofCode(codes.ResourceExhausted, "a resource is used up")
	// ErrUnavailable: no server, or none that can answer now; already repeated where that is safe.
	ErrUnavailable = ofCode(codes.Unavailable, "no server can answer now")
	// ErrDeadlineExceeded: the time passed before the answer came; a mutation may have been carried out or not.
	ErrDeadlineExceeded = ofCode(codes.DeadlineExceeded, "the time passed")
	// ErrUnauthenticated: no valid API key.
	ErrUnauthenticated = ofCode(codes.Unauthenticated, "no valid credentials")
	// ErrDataCorrupt: stored bytes fail their check.
	ErrDataCorrupt = ofCode(codes.DataLoss, "stored bytes fail their check")
	// ErrUnimplemented: the server does not know this call: it is older than this client, or no AdaMem server.
	ErrUnimplemented = ofCode(codes.Unimplemented, "the server does not know this call")
	// ErrInternal: a fault of the server; Metadata["request_id"] finds it in the server's log.
	ErrInternal = ofCode(codes.Internal, "a fault of the server")
)

// Sentinels of reasons, for errors.Is; each is also of its status code's sentinel.
var (
	// ErrPackageInvalid: a package is not sound; Metadata["member"] is the file in it.
	ErrPackageInvalid = ofReason("PACKAGE_INVALID", "the package is not sound")

	ErrNamespaceNotFound      = ofReason("NAMESPACE_NOT_FOUND", "no such namespace")
	ErrSlotNotFound           = ofReason("SLOT_NOT_FOUND", "no such slot")
	ErrAdapterVersionNotFound = ofReason("ADAPTER_VERSION_NOT_FOUND", "no such version of the adapter")
	ErrJobNotFound            = ofReason("JOB_NOT_FOUND", "no such job")
	// ErrSlotVersionNotFound: the slot has no such version, or it is not kept any more.
	ErrSlotVersionNotFound = ofReason("SLOT_VERSION_NOT_FOUND", "no such version of the slot")
	ErrSnapshotNotFound    = ofReason("SNAPSHOT_NOT_FOUND", "no such snapshot")

	ErrNamespaceExists = ofReason("NAMESPACE_EXISTS", "the namespace exists")
	ErrSnapshotExists  = ofReason("SNAPSHOT_EXISTS", "the snapshot exists")

	// ErrDimensionMismatch: a vector of another dimension than the namespace's.
	ErrDimensionMismatch = ofReason("DIMENSION_MISMATCH", "another dimension than the namespace's")
	// ErrModelMismatch: text for a namespace whose vectors another encoder made.
	ErrModelMismatch = ofReason("MODEL_MISMATCH", "another encoder than the namespace's")
	// ErrRequestIDReused: a request id that was used for another request.
	ErrRequestIDReused = ofReason("REQUEST_ID_REUSED", "the request id was used for another request")
	// ErrJobRunning: the namespace has an unfinished job of this kind; Metadata["job_id"] names it.
	ErrJobRunning = ofReason("JOB_RUNNING", "such a job is unfinished")
	// ErrClientClosed: the client was closed, before the call or under it; then a change may or may not have been made.
	ErrClientClosed = ofReason("CLIENT_CLOSED", "the client is closed")
	// ErrPackageFormat: a package of a newer AdaMem.
	ErrPackageFormat = ofReason("PACKAGE_FORMAT_UNSUPPORTED", "a package of a newer AdaMem")
	// ErrPackageSignature: a package that is not signed as it has to be.
	ErrPackageSignature = ofReason("PACKAGE_SIGNATURE", "the package is not signed as it has to be")
	// ErrPackageModel: a package's vectors are of another encoder, and were to be kept.
	ErrPackageModel = ofReason("PACKAGE_MODEL_MISMATCH", "the package's vectors are of another encoder")

	// ErrGenerationChanged: the namespace was embedded anew under the call: try again.
	ErrGenerationChanged = ofReason("GENERATION_CHANGED", "the namespace was embedded anew")
	// ErrJobCancelled: the job that was waited for was cancelled; Metadata["job_id"] names it.
	ErrJobCancelled = ofReason("JOB_CANCELLED", "the job was cancelled")

	// ErrStorageFull: the disk, or the limit set for the data file, is full; nothing of the request was stored.
	ErrStorageFull = ofReason("STORAGE_FULL", "the storage is full")
	// ErrOverloaded: too many requests of one kind are under way.
	ErrOverloaded = ofReason("OVERLOADED", "too many requests are under way")
	// ErrPackageTooLarge: a package is larger than the server takes.
	ErrPackageTooLarge = ofReason("PACKAGE_TOO_LARGE", "the package is too large")

	ErrShuttingDown   = ofReason("SHUTTING_DOWN", "the server is stopping")
	ErrEmbedderClosed = ofReason("EMBEDDER_CLOSED", "the encoder was closed")
	// ErrShardStale: the namespace's index could not catch up with its journal; the server refuses rather than answer wrongly.
	ErrShardStale = ofReason("SHARD_STALE", "the index is behind its journal")

	// ErrBackupInvalid: a backup did not arrive whole; nothing of it was kept.
	ErrBackupInvalid = ofReason("BACKUP_INVALID", "the backup did not arrive whole")
	// ErrModel: the server's encoder cannot be had or loaded.
	ErrModel = ofReason("MODEL_ERROR", "the encoder cannot be had")
)

// invalid is the error for a value that this client refuses; nothing was sent.
func invalid(field, problem string) *Error {
	return &Error{
		Code:       codes.InvalidArgument,
		Reason:     "INVALID_ARGUMENT",
		Message:    field + ": " + problem,
		Metadata:   map[string]string{"field": field},
		Violations: []FieldViolation{{field, problem}},
	}
}

// fault is an answer of the server that the protocol does not allow.
func fault(message string) *Error {
	return &Error{Code: codes.Internal, Reason: "INTERNAL", Message: message}
}

func errorFromRPC(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	failure := errorFromStatus(status.Convert(err).Proto())
	if failure.Code == codes.Canceled && strings.HasSuffix(failure.Message, closingConnection) {
		// Not Canceled: nobody cancelled a context.
		return &Error{Code: codes.FailedPrecondition, Reason: "CLIENT_CLOSED", Message: "the client is closed; make another one"}
	}
	if failure.Code == codes.Unavailable {
		if hint := connectionHint(failure.Message); hint != "" {
			failure.Message = hint + " (" + failure.Message + ")"
		}
	}
	return failure
}

// closingConnection is what gRPC says of calls of a client that was closed, before them or under them.
const closingConnection = "the client connection is closing"

const endedConnection = "what listens there ended the connection; if it speaks TLS, begin the endpoint with https://"

// connectionHints says what is probably wrong where no server was reached, by a part of what gRPC says.
// What ends a connection with bytes unread resets it, which overtakes the end and whatever was answered.
var connectionHints = map[string]string{
	"connection refused":             "nothing listens there; is the server running (adamem serve), and on this port?",
	"looked like an HTTP/1.1 header": "what listens there speaks no gRPC; is it the port of HTTP?",
	"not look like a TLS handshake":  "what listens there speaks no TLS; begin the endpoint with http://",
	"server preface: EOF":            endedConnection,
	"preface: connection reset":      endedConnection,
	"failed to write client preface": endedConnection,
	"unknown authority":              "the server's certificate is not trusted; Config.CAFile names the file that signs it",
}

// connectionHint is that for what gRPC says; empty where a server was reached, or it cannot be told.
func connectionHint(message string) string {
	if strings.HasPrefix(message, "write ") { // The connection was reset before all of the preface was written.
		return endedConnection
	}
	if strings.HasPrefix(message, "connection error: ") {
		for part, hint := range connectionHints {
			if strings.Contains(message, part) {
				return hint
			}
		}
	}
	return ""
}

func errorFromContext(ctx context.Context) *Error {
	failure := errorFromStatus(status.FromContextError(ctx.Err()).Proto())
	failure.cause = context.Cause(ctx)
	return failure
}

// errorFromStatus is the error that a google.rpc.Status describes, such as that of one item of a batch.
func errorFromStatus(described *spb.Status) *Error {
	failure := &Error{
		Code:    codes.Code(described.GetCode()),
		Reason:  code.Code(described.GetCode()).String(),
		Message: described.GetMessage(),
	}
	for _, detail := range described.GetDetails() {
		message, err := detail.UnmarshalNew()
		if err != nil {
			continue // A detail of a newer server; the code says enough.
		}
		switch message := message.(type) {
		case *errdetails.ErrorInfo:
			if message.GetDomain() == domain {
				failure.Reason, failure.Metadata = message.GetReason(), message.GetMetadata()
			}
		case *errdetails.BadRequest:
			for _, each := range message.GetFieldViolations() {
				failure.Violations = append(failure.Violations, FieldViolation{each.GetField(), each.GetDescription()})
			}
		case *errdetails.RetryInfo:
			failure.RetryAfter = message.GetRetryDelay().AsDuration()
		}
	}
	return failure
}

// itemError says which item of a batch cannot be sent.
func itemError(index int, err error) error {
	failure := errorFromRPC(err)
	prefix := fmt.Sprintf("items[%d]", index)
	for n := range failure.Violations {
		failure.Violations[n].Field = prefix + "." + failure.Violations[n].Field
	}
	failure.Message = prefix + "." + failure.Message
	failure.Metadata["field"] = prefix + "." + failure.Metadata["field"]
	return failure
}
