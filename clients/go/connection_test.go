package adamem_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/adamem/adamem/clients/go"
)

// certificate is one of 127.0.0.1 that signs itself: the files of its chain and its key.
func certificate(t *testing.T) (string, string) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "adamem test"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		BasicConstraintsValid: true,
		IsCA:                  true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	chain := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))(t)
	encoded := must(x509.MarshalPKCS8PrivateKey(key))(t)
	folder := t.TempDir()
	write := func(name, kind string, content []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("chain.pem", "CERTIFICATE", chain), write("key.pem", "PRIVATE KEY", encoded)
}

func TestTLSAndKeys(t *testing.T) {
	chain, key := certificate(t)
	server := newServer(t, "ADAMEM_TLS_CERT="+chain, "ADAMEM_TLS_KEY="+key, "ADAMEM_TLS_CLIENT_CA="+chain,
		"ADAMEM_API_KEYS=sixteen-characters-of-a-key")
	own := must(tls.LoadX509KeyPair(chain, key))(t)
	ctx := timeout(t, time.Minute)
	config := adamem.Config{
		Endpoint: "grpcs://" + server.Address(),
		CAFile:   chain,
		TLS:      &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13},
		APIKey:   "sixteen-characters-of-a-key",
	}
	must(connect(t, config).WaitUntilReady(ctx))(t)

	config.APIKey = "another key"
	if _, err := connect(t, config).WaitUntilReady(ctx); !errors.Is(err, adamem.ErrUnauthenticated) {
		t.Fatal(err)
	}
	config.MaxAttempts, config.TLS = 1, nil // Without a certificate of its own.
	if _, err := connect(t, config).ServerInfo(ctx); !errors.Is(err, adamem.ErrUnavailable) {
		t.Fatal(err)
	}
	config.CAFile = "" // The system's authorities did not sign it.
	if _, err := connect(t, config).ServerInfo(ctx); !errors.Is(err, adamem.ErrUnavailable) {
		t.Fatal(err)
	}
}

func TestConfig(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.pem")
	if err := os.WriteFile(none, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for field, configs := range map[string][]adamem.Config{
		"endpoint": {
			{Endpoint: "ftp://x"}, {Endpoint: "http://"}, {Endpoint: "host:port"}, {Endpoint: "host:99999"}, {Endpoint: ":1"},
			{Endpoint: "http://x", TLS: &tls.Config{MinVersion: tls.VersionTLS12}}, {Endpoint: "a\nb"}, {Endpoint: " "},
		},
		"api_key":      {{APIKey: "ключ"}, {APIKey: "a\n"}, {APIKey: "x", Credentials: failingCredentials{}}},
		"max_attempts": {{MaxAttempts: -1}},
		"ca_file":      {{CAFile: none}},
	} {
		for _, config := range configs {
			_, err := adamem.New(config)
			var failure *adamem.Error
			if !errors.As(err, &failure) || failure.Metadata["field"] != field {
				t.Errorf("%s: %+v gives %v", field, config, err)
			}
		}
	}
	if _, err := adamem.New(adamem.Config{CAFile: none + "x"}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	for _, endpoint := range []string{"", "host", "host:1", "grpc://host:1/", "https://host", "::1", "[::1]:5", "unix:/tmp/socket"} {
		must(adamem.New(adamem.Config{Endpoint: endpoint}))(t)
	}
}

func TestAClosedClientSaysSo(t *testing.T) {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t) // It takes connections, and says nothing.
	t.Cleanup(func() { _ = listener.Close() })
	client := must(adamem.New(adamem.Config{Endpoint: listener.Addr().String()}))(t)
	ended := make(chan error, 1)
	go func() {
		_, err := client.Query(timeout(t, time.Minute), adamem.QueryRequest{Text: "x"})
		ended <- err
	}()
	connection := must(listener.Accept())(t)
	t.Cleanup(func() { _ = connection.Close() })
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, adamem.ErrClientClosed) || errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := client.ServerInfo(t.Context()); !errors.Is(err, adamem.ErrClientClosed) {
		t.Fatal(err)
	}
}

type failingCredentials struct{}

func (failingCredentials) RequireTransportSecurity() bool { return false }
func (failingCredentials) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer renewed"}, nil
}

func TestTheEndpointOfTheEnvironment(t *testing.T) {
	server := &stub{calls: map[string]int{}}
	t.Setenv("MEMORY_ENDPOINT", "http://"+serve(t, server.handle))
	must(connect(t, adamem.Config{}).ServerInfo(t.Context()))(t)
}

func TestWhatIsSentWithACall(t *testing.T) {
	sent := make(chan metadata.MD, 1)
	server := &stub{calls: map[string]int{}}
	address := serve(t, func(service any, stream grpc.ServerStream) error {
		headers, _ := metadata.FromIncomingContext(stream.Context())
		sent <- headers
		return server.handle(service, stream)
	})
	spans, reader := tracetest.NewInMemoryExporter(), metric.NewManualReader()
	client := connect(t, adamem.Config{
		Endpoint:       address,
		Credentials:    failingCredentials{},
		TracerProvider: trace.NewTracerProvider(trace.WithSyncer(spans)),
		MeterProvider:  metric.NewMeterProvider(metric.WithReader(reader)),
	})
	must(client.ServerInfo(t.Context()))(t)
	headers := <-sent
	if headers.Get("authorization")[0] != "Bearer renewed" || !strings.HasPrefix(headers.Get("user-agent")[0], "adamem-go/") {
		t.Fatal(headers)
	}
	// The span ends when the call does, which the server's answer may be a moment ahead of.
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	ended := spans.GetSpans()
	if len(ended) != 1 || ended[0].Name != "adamem.v1.AdminService/GetServerInfo" ||
		!strings.Contains(headers.Get("traceparent")[0], ended[0].SpanContext.TraceID().String()) {
		t.Fatalf("%v, sent was %v", ended, headers)
	}
	var measured metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &measured); err != nil || len(measured.ScopeMetrics) == 0 {
		t.Fatal(measured, err)
	}

	plain := connect(t, adamem.Config{Endpoint: address})
	must(plain.ServerInfo(t.Context()))(t)
	if headers = <-sent; len(headers.Get("traceparent")) != 0 || len(headers.Get("authorization")) != 0 {
		t.Fatal(headers)
	}
}

func TestWaitUntilReady(t *testing.T) {
	server := &stub{calls: map[string]int{}, nRefused: 20}
	must(connect(t, adamem.Config{Endpoint: serve(t, server.handle)}).WaitUntilReady(timeout(t, time.Minute)))(t)
	short := timeout(t, 50*time.Millisecond)
	if _, err := connect(t, adamem.Config{Endpoint: "127.0.0.1:1"}).WaitUntilReady(short); !errors.Is(err, adamem.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestTheConfigsTimeoutLimitsCallsWithoutADeadline(t *testing.T) {
	address := serve(t, func(_ any, stream grpc.ServerStream) error {
		<-stream.Context().Done()
		return stream.Context().Err()
	})
	_, err := connect(t, adamem.Config{Endpoint: address, Timeout: 20 * time.Millisecond}).ServerInfo(t.Context())
	if !errors.Is(err, adamem.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestWhereNoServerIsTheErrorSaysWhatToLookAt(t *testing.T) {
	serve := func(answer string, n int, reset bool) string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		go func() {
			for {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = connection.Read(make([]byte, n))
				_, _ = connection.Write([]byte(answer))
				if tcp := connection.(*net.TCPConn); reset {
					_ = tcp.SetLinger(0)
				} else { // Bytes unread at the close would reset the connection.
					_ = tcp.CloseWrite()
					_, _ = io.Copy(io.Discard, tcp)
				}
				_ = connection.Close()
			}
		}()
		return listener.Addr().String()
	}
	http := serve("HTTP/1.1 400 Bad Request\r\n\r\n", 4096, false)
	for endpoint, said := range map[string]string{
		"127.0.0.1:1":          "is the server running (adamem serve)",
		http:                   "is it the port of HTTP?",
		"https://" + http:      "begin the endpoint with http://",
		serve("", 4096, false): "begin the endpoint with https://",
		serve("", 4096, true):  "begin the endpoint with https://",
		serve("", 24, true):    "begin the endpoint with https://", // While the client still writes.
	} {
		_, err := connect(t, adamem.Config{Endpoint: endpoint, Timeout: time.Minute, MaxAttempts: 1}).ServerInfo(t.Context())
		if err == nil || !strings.Contains(err.Error(), said) {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}
