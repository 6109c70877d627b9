// Command bench measures the client: what its unary calls cost over the bare generated stub, and its memory while a load of
// any length streams through its bulk writer. Results are JSON.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

func main() {
	out := flag.String("out", "", "write the results to this `file` too")
	nSlots := flag.Int("slots", 1_000_000, "slots that are streamed to the sink")
	nRealSlots := flag.Int("real-slots", 20_000, "slots that are streamed to the real server; 0: none")
	rounds := flag.Int("rounds", 100, "pairs of rounds of unary calls")
	sink := flag.Bool("sink", false, "be the sink that this program starts")
	flag.Parse()
	var err error
	if *sink {
		err = serveSink()
	} else {
		err = measure(*out, *nSlots, *nRealSlots, *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func measure(out string, nSlots, nRealSlots, rounds int) error {
	address, stop, err := startSink()
	if err != nil {
		return err
	}
	defer stop()
	result := map[string]any{
		"commit":  commit(),
		"machine": map[string]any{"go": runtime.Version(), "arch": runtime.GOARCH, "n_cpus": runtime.NumCPU()},
	}
	unary, err := measureUnary(address, rounds)
	if err != nil {
		return err
	}
	bulk, err := measureBulk(address, "bench", nSlots)
	if err != nil {
		return err
	}
	result["sink"] = map[string]any{"bulk": bulk, "unary": unary}
	if nRealSlots > 0 {
		if result["server"], err = measureServer(nRealSlots, max(1, rounds/10)); err != nil {
			return err
		}
	}
	encoded, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	fmt.Println(string(encoded))
	if out == "" {
		return nil
	}
	return os.WriteFile(out, append(encoded, '\n'), 0o600)
}

func commit() string {
	described, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(described))
}
