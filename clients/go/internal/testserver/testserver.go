// Package testserver runs `adamem serve` on a free port of this machine, for tests and benchmarks.
package testserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

const startTimeout = 2 * time.Minute

// Python is the interpreter that has the server: ADAMEM_TEST_PYTHON, which make sets, else that of `make setup`. Empty:
// there is none.
func Python() string {
	if chosen := os.Getenv("ADAMEM_TEST_PYTHON"); chosen != "" {
		return chosen
	}
	_, here, _, _ := runtime.Caller(0)
	found := filepath.Join(filepath.Dir(here), "../../../../.venv/bin/python")
	if _, err := os.Stat(found); err != nil {
		return ""
	}
	return found
}

// Server is started, killed, started again on the same data and port.
type Server struct {
	folder  string
	port    int
	command *exec.Cmd
	exited  chan struct{}
}

// Start runs a server whose data and log are in folder, and waits until it answers; without HTTP,
// whose port is a fixed one. Settings are variables, NAME=value.
func Start(folder string, settings ...string) (*Server, error) {
	server := &Server{folder: folder}
	return server, server.Start(settings...)
}

// Address is HOST:PORT.
func (s *Server) Address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Start runs it again, and waits until it answers.
func (s *Server) Start(settings ...string) error {
	ready := filepath.Join(s.folder, "ready.json")
	_ = os.Remove(ready)
	log, err := os.OpenFile(filepath.Join(s.folder, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	s.command = Command("serve", "--port", strconv.Itoa(s.port), "--ready-file", ready)
	s.command.Env = append(s.command.Env, "ADAMEM_DATA_DIR="+filepath.Join(s.folder, "data"), "ADAMEM_HTTP=false")
	s.command.Env = append(s.command.Env, settings...)
	s.command.Stderr = log
	if err := s.command.Start(); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func(command *exec.Cmd, exited chan struct{}) {
		_ = command.Wait()
		close(exited)
	}(s.command, s.exited)
	return s.wait(ready)
}

func (s *Server) wait(ready string) error {
	deadline := time.After(startTimeout)
	for {
		var told struct{ Port int }
		if content, err := os.ReadFile(ready); err == nil && json.Unmarshal(content, &told) == nil {
			s.port = told.Port
			return nil
		}
		select {
		case <-s.exited:
			return errors.New("the server ended: " + s.Log())
		case <-deadline:
			s.Kill()
			return errors.New("the server did not start: " + s.Log())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Kill ends it at once.
func (s *Server) Kill() {
	_ = s.command.Process.Kill()
	<-s.exited
}

// Log is what it wrote.
func (s *Server) Log() string {
	content, _ := os.ReadFile(filepath.Join(s.folder, "server.log"))
	return string(content)
}

// Command is `adamem ...`, without the variables that would change it.
func Command(arguments ...string) *exec.Cmd {
	command := exec.Command(Python(), append([]string{"-m", "adamem_server.cli"}, arguments...)...)
	command.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return strings.HasPrefix(name, "ADAMEM_") || name == "EMBED_MODEL" || name == "DEFAULT_NS" || name == "MEMORY_ENDPOINT"
	})
	return command
}
