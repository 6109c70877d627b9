package main

import (
	"context"
	"fmt"
	"iter"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/adamem/adamem/clients/go"
	"github.com/adamem/adamem/clients/go/internal/testserver"
)

const (
	dim      = 32
	nSamples = 20
)

// sample is the client's memory after some slots.
type sample struct {
	NSlots    int    `json:"n_slots"`
	RSSBytes  uint64 `json:"rss_bytes"`
	HeapBytes uint64 `json:"heap_bytes"`
}

// measureBulk streams slots with vectors, so that the server has nothing to embed, and looks at this process's memory.
func measureBulk(address, namespace string, nSlots int) (map[string]any, error) {
	client, err := adamem.New(adamem.Config{Endpoint: address, Namespace: namespace})
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	var samples []sample
	started := time.Now()
	result, err := client.BulkUpdate(context.Background(), slots(nSlots, &samples), adamem.BulkOptions{})
	if err != nil {
		return nil, err
	}
	took := time.Since(started).Seconds()
	if result.NCreated != uint64(nSlots) {
		return nil, fmt.Errorf("%d of %d slots were stored: %v", result.NCreated, nSlots, result.Failures)
	}
	runtime.GC()
	return map[string]any{
		"n_slots": nSlots, "dim": dim, "slots_per_s": float64(nSlots) / took, "samples": samples,
		"rss_after_bytes": now(nSlots).RSSBytes,
	}, nil
}

func slots(n int, samples *[]sample) iter.Seq[adamem.SlotInput] {
	return func(yield func(adamem.SlotInput) bool) {
		for index := range n {
			vector := make([]float32, dim)
			vector[index%dim], vector[(index/dim)%dim] = 1, float32(index%97)+1
			text := fmt.Sprintf("Slot %d: %s", index, strings.Repeat("what was said there, ", 8))
			if !yield(adamem.SlotInput{Content: text, Vector: vector, UserID: "u" + strconv.Itoa(index%100)}) {
				return
			}
			if (index+1)%max(1, n/nSamples) == 0 {
				*samples = append(*samples, now(index+1))
			}
		}
	}
}

// now is the memory as the system and as Go see it; what is not collected yet counts.
func now(nSlots int) sample {
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	taken := sample{NSlots: nSlots, HeapBytes: heap.HeapAlloc}
	if statm, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := strings.Fields(string(statm)); len(fields) > 1 {
			pages, _ := strconv.ParseUint(fields[1], 10, 64)
			taken.RSSBytes = pages * uint64(os.Getpagesize())
		}
	}
	return taken
}

// measureServer measures the same on a real server: few calls, for most of their time is the server's.
func measureServer(nSlots, rounds int) (map[string]any, error) {
	if testserver.Python() == "" {
		return nil, fmt.Errorf("there is no server here: run `make setup` at the root, or give -real-slots 0")
	}
	folder, err := os.MkdirTemp("", "adamem-go-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	server, err := testserver.Start(folder)
	if err != nil {
		return nil, err
	}
	defer server.Kill()
	client, err := adamem.New(adamem.Config{Endpoint: server.Address()})
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	namespace := adamem.CreateNamespaceRequest{Name: "bench", Dim: dim, ExternalVectors: true}
	if _, err := client.CreateNamespace(context.Background(), namespace); err != nil {
		return nil, err
	}
	bulk, err := measureBulk(server.Address(), "bench", nSlots)
	if err != nil {
		return nil, err
	}
	unary, err := measureUnary(server.Address(), rounds)
	return map[string]any{"bulk": bulk, "unary": unary}, err
}
