package adamem_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The Go code of the READMEs that is no file of its own is run as it stands, in a function that returns an error.
func TestTheReadmesRun(t *testing.T) {
	if shared == nil {
		t.Skip("there is no server here")
	}
	for _, page := range []string{"README.md", "clients/go/README.md"} {
		text := string(must(os.ReadFile("../../" + page))(t))
		blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(text, -1)
		if len(blocks) == 0 {
			t.Errorf("%s has no Go code", page)
		}
		for _, block := range blocks {
			program := `package main

import (
	"context"
	"fmt"
	"log"

	"github.com/adamem/adamem/clients/go"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
` + block[1] + "\nreturn nil\n}\n"
			path := filepath.Join(t.TempDir(), "main.go")
			if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
				t.Fatal(err)
			}
			output, err := exec.Command("go", "run", path).CombinedOutput()
			if err != nil || !strings.Contains(string(output), "\n") {
				t.Errorf("%s: %v\n%s\n%s", page, err, output, block[1])
			}
		}
	}
}
