package adamem_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/adamem/adamem/clients/go"
	"github.com/adamem/adamem/clients/go/internal/testserver"
)

// shared is a server that the tests and examples of the package use, each in namespaces of its own; nil where there is none.
var shared *testserver.Server

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	if testserver.Python() == "" {
		fmt.Println("there is no server here, run `make setup` at the root: skipping what needs one")
		_ = flag.Set("test.skip", "^Example")
		return m.Run()
	}
	folder, err := os.MkdirTemp("", "adamem-go-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if shared, err = testserver.Start(folder); err != nil {
		fmt.Println(err)
		return 1
	}
	defer shared.Kill()
	// Of the examples, which say no more than a user would.
	_ = os.Setenv("MEMORY_ENDPOINT", shared.Address())
	return m.Run()
}

// connected is a client of the shared server whose namespace is the test's own; it is gone after the test, with those whose
// names begin as it does.
func connected(t testing.TB) *adamem.Client {
	t.Helper()
	if shared == nil {
		t.Skip("there is no server here")
	}
	client := connect(t, adamem.Config{Endpoint: shared.Address(), Namespace: t.Name()})
	t.Cleanup(func() {
		ctx := context.Background()
		for _, namespace := range collect(t, client.ListNamespaces(ctx, adamem.ListNamespacesRequest{Prefix: t.Name()})) {
			must(client.DeleteNamespace(ctx, adamem.DeleteNamespaceRequest{Name: namespace.Name}))(t)
		}
	})
	return client
}

func newServer(t testing.TB, settings ...string) *testserver.Server {
	t.Helper()
	if shared == nil {
		t.Skip("there is no server here")
	}
	server := must(testserver.Start(t.TempDir(), settings...))(t)
	t.Cleanup(server.Kill)
	return server
}

func connect(t testing.TB, config adamem.Config) *adamem.Client {
	t.Helper()
	client, err := adamem.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// must is the value of a call that may not fail.
func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func timeout(t testing.TB, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}
