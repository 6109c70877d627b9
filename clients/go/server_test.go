package adamem_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/adamem/adamem/clients/go"
)

// python is the interpreter that has the server: ADAMEM_TEST_PYTHON, which make sets, else that of `make setup`.
func python(t testing.TB) string {
	t.Helper()
	if chosen := os.Getenv("ADAMEM_TEST_PYTHON"); chosen != "" {
		return chosen
	}
	found, err := filepath.Abs("../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(found); err != nil {
		t.Skip("there is no server here: run `make setup` at the root")
	}
	return found
}

// process is `adamem serve` on a free port: started, killed, started again on the same data and port.
type process struct {
	folder  string
	port    int
	command *exec.Cmd
	exited  chan struct{}
}

func (p *process) address() string { return fmt.Sprintf("127.0.0.1:%d", p.port) }

// environment is that of the tests without what would change the server.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "ADAMEM_") || strings.HasPrefix(variable, "EMBED_MODEL=") ||
			strings.HasPrefix(variable, "DEFAULT_NS=")
	})
}

// start runs the server and waits until it answers.
func (p *process) start(t testing.TB, settings ...string) {
	t.Helper()
	ready := filepath.Join(p.folder, "ready.json")
	_ = os.Remove(ready)
	log, err := os.OpenFile(filepath.Join(p.folder, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	p.command = exec.Command(python(t), "-m", "adamem_server.cli", "serve",
		"--port", strconv.Itoa(p.port), "--ready-file", ready)
	p.command.Env = append(environment(), "ADAMEM_DATA_DIR="+filepath.Join(p.folder, "data"))
	p.command.Env = append(p.command.Env, settings...)
	p.command.Stderr = log
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	p.exited = exited
	go func(command *exec.Cmd) {
		_ = command.Wait()
		close(exited)
	}(p.command)
	deadline := time.After(60 * time.Second)
	for {
		var told struct{ Port int }
		if content, err := os.ReadFile(ready); err == nil && json.Unmarshal(content, &told) == nil {
			p.port = told.Port
			return
		}
		select {
		case <-p.exited:
			t.Fatalf("the server ended: %s", p.log())
		case <-deadline:
			p.kill()
			t.Fatalf("the server did not start: %s", p.log())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p *process) kill() {
	if p.command != nil {
		_ = p.command.Process.Kill()
		<-p.exited
	}
}

func (p *process) log() string {
	content, _ := os.ReadFile(filepath.Join(p.folder, "server.log"))
	return string(content)
}

func newProcess(t testing.TB, settings ...string) *process {
	t.Helper()
	p := &process{folder: t.TempDir()}
	p.start(t, settings...)
	t.Cleanup(p.kill)
	return p
}

// shared is a server that all tests of the package use, each in namespaces of its own.
var shared struct {
	sync.Mutex
	process *process
}

func sharedServer(t testing.TB) *process {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.process == nil {
		python(t)
		folder, err := os.MkdirTemp("", "adamem-go-")
		if err != nil {
			t.Fatal(err)
		}
		started := &process{folder: folder}
		started.start(t)
		shared.process = started
	}
	return shared.process
}

func TestMain(m *testing.M) {
	_ = os.Unsetenv("MEMORY_ENDPOINT")
	code := m.Run()
	if shared.process != nil {
		shared.process.kill()
		_ = os.RemoveAll(shared.process.folder)
	}
	os.Exit(code)
}

// connected is a client of the shared server whose namespace is the test's own.
func connected(t testing.TB) *adamem.Client {
	t.Helper()
	return connect(t, adamem.Config{Endpoint: sharedServer(t).address(), Namespace: t.Name()})
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

// adamemCommand runs `adamem ...`, which must succeed.
func adamemCommand(t testing.TB, arguments ...string) {
	t.Helper()
	command := exec.Command(python(t), append([]string{"-m", "adamem_server.cli"}, arguments...)...)
	command.Env = environment()
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("adamem %v: %v\n%s", arguments, err, output)
	}
}
