package adamem

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"
)

// What a zero Config means.
const (
	DefaultEndpoint    = "localhost:50051"
	DefaultTimeout     = 60 * time.Second
	DefaultMaxAttempts = 5
)

const (
	endpointVariable = "MEMORY_ENDPOINT"
	defaultPort      = "50051"
	maxMessageBytes  = 64 << 20
)

// Config says where the server is and how it is spoken to. Its zero value speaks to MEMORY_ENDPOINT, else to
// localhost:50051, without TLS.
type Config struct {
	// Endpoint is HOST, HOST:PORT, SCHEME://HOST:PORT with grpc, grpcs, http or https, or unix:PATH. Empty: the variable
	// MEMORY_ENDPOINT, else DefaultEndpoint.
	Endpoint string
	// Namespace is used where a call names none. Empty: the server's default namespace.
	Namespace string
	// APIKey is sent with each call as a bearer token, also without TLS. Printable ASCII.
	APIKey string
	// Credentials add what each call is authenticated by, such as tokens that are renewed. Not with APIKey.
	Credentials credentials.PerRPCCredentials
	// TLS turns TLS on. Nil: as the endpoint's scheme or CAFile says.
	TLS *tls.Config
	// CAFile holds the PEM certificates that sign the server's, and turns TLS on. Empty: those of TLS, else of the system.
	CAFile string
	// Timeout limits each call, repetitions included, whose context has no deadline; never streams. Zero: DefaultTimeout.
	// Negative: none.
	Timeout time.Duration
	// MaxAttempts is how often a call is sent while the server is UNAVAILABLE; twice as often without progress for bulk
	// writers and watched jobs. Zero: DefaultMaxAttempts. 1: never again.
	MaxAttempts int
	// TracerProvider gets a span of each call, whose context goes to the server in W3C form. Nil: none.
	TracerProvider trace.TracerProvider
	// MeterProvider gets the durations and sizes of calls, as OpenTelemetry names them for RPC. Nil: none.
	MeterProvider metric.MeterProvider
	// DialOptions are added to the connection's, and win.
	DialOptions []grpc.DialOption
}

// target is a gRPC address and whether TLS is spoken there.
type target struct {
	address string
	tls     bool
}

var tlsByScheme = map[string]bool{"grpc": false, "http": false, "grpcs": true, "https": true}

func parseEndpoint(endpoint string, tls bool) (target, error) {
	rest := strings.TrimSpace(endpoint)
	if scheme, after, found := strings.Cut(rest, "://"); found && !strings.HasPrefix(rest, "unix:") {
		byScheme, known := tlsByScheme[scheme]
		if !known {
			return target{}, invalid("endpoint", fmt.Sprintf("unknown scheme %q; use grpc, grpcs, http or https", scheme))
		}
		if tls && !byScheme {
			return target{}, invalid("endpoint", scheme+":// contradicts TLS and CAFile")
		}
		rest, tls = after, byScheme
	}
	address := strings.TrimRight(rest, "/")
	if address == "" || strings.ContainsFunc(address, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return target{}, invalid("endpoint", fmt.Sprintf("%q holds no address", endpoint))
	}
	if strings.HasPrefix(address, "unix:") {
		return target{address, tls}, nil
	}
	if strings.Count(address, ":") > 1 && !strings.HasPrefix(address, "[") {
		address = "[" + address + "]"
	}
	if after := address[strings.LastIndex(address, "]")+1:]; !strings.Contains(after, ":") {
		address += ":" + defaultPort
	}
	colon := strings.LastIndex(address, ":")
	if _, err := strconv.ParseUint(address[colon+1:], 10, 16); colon == 0 || err != nil {
		return target{}, invalid("endpoint", fmt.Sprintf("%q is not HOST or HOST:PORT", endpoint))
	}
	return target{"dns:///" + address, tls}, nil
}

// dial makes the connection; it is opened by the first call.
func (config Config) dial() (*grpc.ClientConn, error) {
	endpoint := config.Endpoint
	if endpoint == "" {
		endpoint = os.Getenv(endpointVariable)
	}
	if endpoint == "" {
		endpoint = DefaultEndpoint
	}
	server, err := parseEndpoint(endpoint, config.TLS != nil || config.CAFile != "")
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{
		grpc.WithUserAgent("adamem-go/" + Version),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes),
		),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		// gRPC by itself waits one second to two minutes before it looks again for a server that restarts.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
	}
	transport := insecure.NewCredentials()
	if server.tls {
		if transport, err = config.transport(); err != nil {
			return nil, err
		}
	}
	options = append(options, grpc.WithTransportCredentials(transport))
	perCall, err := config.perCall()
	if err != nil {
		return nil, err
	}
	if perCall != nil {
		options = append(options, grpc.WithPerRPCCredentials(perCall))
	}
	if config.TracerProvider != nil || config.MeterProvider != nil {
		options = append(options, grpc.WithStatsHandler(config.telemetry()))
	}
	connection, err := grpc.NewClient(server.address, append(options, config.DialOptions...)...)
	if err != nil {
		return nil, invalid("endpoint", err.Error())
	}
	return connection, nil
}

func (config Config) transport() (credentials.TransportCredentials, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if config.TLS != nil {
		settings = config.TLS.Clone()
	}
	if config.CAFile != "" {
		pem, err := os.ReadFile(config.CAFile)
		if err != nil {
			return nil, fmt.Errorf("adamem: CAFile: %w", err)
		}
		settings.RootCAs = x509.NewCertPool()
		if !settings.RootCAs.AppendCertsFromPEM(pem) {
			return nil, invalid("ca_file", fmt.Sprintf("%s holds no PEM certificate", config.CAFile))
		}
	}
	return credentials.NewTLS(settings), nil
}

func (config Config) perCall() (credentials.PerRPCCredentials, error) {
	if config.APIKey == "" {
		return config.Credentials, nil
	}
	if config.Credentials != nil {
		return nil, invalid("api_key", "only one of APIKey and Credentials may be given")
	}
	if strings.ContainsFunc(config.APIKey, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, invalid("api_key", "holds characters that cannot be sent; keys are printable ASCII")
	}
	return bearer{"authorization": "Bearer " + config.APIKey}, nil
}

// bearer is the metadata of an API key.
type bearer map[string]string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return b, nil
}

// RequireTransportSecurity is false: a server of this machine may have keys without TLS.
func (b bearer) RequireTransportSecurity() bool { return false }

func (config Config) telemetry() stats.Handler {
	var options []otelgrpc.Option
	if config.TracerProvider != nil {
		options = append(options, otelgrpc.WithTracerProvider(config.TracerProvider))
	} else {
		options = append(options, otelgrpc.WithTracerProvider(tracenoop.NewTracerProvider()))
	}
	if config.MeterProvider != nil {
		options = append(options, otelgrpc.WithMeterProvider(config.MeterProvider))
	} else {
		options = append(options, otelgrpc.WithMeterProvider(metricnoop.NewMeterProvider()))
	}
	w3c := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	return otelgrpc.NewClientHandler(append(options, otelgrpc.WithPropagators(w3c))...)
}
