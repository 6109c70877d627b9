package adamem_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/adamem/adamem/clients/go"
	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// numbered are n slots with vectors of dimension 8, so that nothing has to be embedded.
func numbered(n int) iter.Seq[adamem.SlotInput] {
	return func(yield func(adamem.SlotInput) bool) {
		for index := range n {
			vector := make([]float32, 8)
			vector[index%8] = float32(index + 1)
			if !yield(adamem.SlotInput{Content: fmt.Sprint("slot ", index), Vector: vector}) {
				return
			}
		}
	}
}

func withVectors(t *testing.T, client *adamem.Client) {
	t.Helper()
	must(client.CreateNamespace(t.Context(), adamem.CreateNamespaceRequest{Name: t.Name(), Dim: 8, ExternalVectors: true}))(t)
}

func TestBulkStoresEverythingAndTellsWhatFailed(t *testing.T) {
	ctx, client := t.Context(), connected(t)
	withVectors(t, client)
	var states []adamem.BulkResult
	writer := must(client.BulkWriter(ctx, adamem.BulkOptions{
		BatchSize:  100,
		OnProgress: func(state adamem.BulkResult) { states = append(states, state) },
	}))(t)
	index := 0
	for slot := range numbered(1050) {
		switch index++; index {
		case 10:
			slot.Content = "\xff"
		case 700:
			slot.Vector = []float32{1, 2, 3}
		}
		if err := writer.Write(ctx, slot); err != nil {
			t.Fatal(err)
		}
	}
	result := must(writer.Close(ctx))(t)
	if result.NItems != 1050 || result.NCreated != 1048 || result.NFailed != 2 || len(result.Failures) != 2 ||
		result.Failures[0].Index != 9 || result.Failures[1].Index != 699 || result.Sequence == 0 ||
		!errors.Is(result.Failures[0].Err, adamem.ErrInvalidArgument) ||
		!errors.Is(result.Failures[1].Err, adamem.ErrDimensionMismatch) {
		t.Fatalf("%+v", result)
	}
	if len(states) != 11 || states[10].NItems != 1050 || states[0].NItems > 101 {
		t.Fatalf("%d: %+v", len(states), states)
	}
	if err := writer.Write(ctx, adamem.SlotInput{Content: "late"}); !errors.Is(err, adamem.ErrInvalidArgument) {
		t.Fatal(err)
	}
	if again := must(writer.Close(ctx))(t); again.NItems != 1050 {
		t.Fatalf("%+v", again)
	}
	if n := must(client.GetNamespace(ctx))(t).NSlots; n != 1048 {
		t.Fatal(n)
	}
}

func TestBulkOfNothing(t *testing.T) {
	client := connect(t, adamem.Config{Endpoint: "127.0.0.1:1"})
	if result := must(client.BulkUpdate(t.Context(), numbered(0), adamem.BulkOptions{}))(t); result.NItems != 0 {
		t.Fatalf("%+v", result)
	}
}

func TestARepeatableLoadIsStoredOnce(t *testing.T) {
	ctx, client := t.Context(), connected(t)
	withVectors(t, client)
	for range 2 {
		options := adamem.BulkOptions{BatchSize: 64, Repeatable: true}
		if result := must(client.BulkUpdate(ctx, numbered(300), options))(t); result.NItems != 300 {
			t.Fatalf("%+v", result)
		}
	}
	if n := must(client.GetNamespace(ctx))(t).NSlots; n != 300 {
		t.Fatal(n)
	}
}

func TestALoadOutlivesItsServer(t *testing.T) {
	server := newServer(t)
	client := connect(t, adamem.Config{Endpoint: server.Address(), Namespace: t.Name(), MaxAttempts: 30})
	withVectors(t, client)
	var once sync.Once
	restarted := make(chan error, 1)
	result := must(client.BulkUpdate(timeout(t, 2*time.Minute), numbered(4000), adamem.BulkOptions{
		BatchSize: 50,
		OnProgress: func(state adamem.BulkResult) {
			if state.NItems >= 1000 {
				once.Do(func() {
					server.Kill()
					go func() { restarted <- server.Start() }()
				})
			}
		},
	}))(t)
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	if result.NItems != 4000 || result.NFailed != 0 {
		t.Fatalf("%+v", result)
	}
	contents := map[string]int{}
	for _, slot := range collect(t, client.ListSlots(t.Context(), adamem.ListSlotsRequest{Page: adamem.PageOptions{Size: 1000}})) {
		contents[slot.Content]++
	}
	for index := range 4000 {
		if n := contents[fmt.Sprint("slot ", index)]; n != 1 {
			t.Fatalf("slot %d is stored %d times", index, n)
		}
	}
}

// The server answers only when the window is full, so a client that waited for answers would hang, and one that ran ahead
// is seen.
func TestBulkRunsAheadNoFurtherThanItsWindow(t *testing.T) {
	var nReceived, nAnswered, most atomic.Int64
	address := serve(t, func(_ any, stream grpc.ServerStream) error {
		pending := make(chan *pb.BulkUpdateRequest, 1000)
		go func() {
			defer close(pending)
			for {
				var request pb.BulkUpdateRequest
				if stream.RecvMsg(&request) != nil {
					return
				}
				most.Store(max(most.Load(), nReceived.Add(1)-nAnswered.Load()))
				pending <- &request
			}
		}()
		for {
			var window []*pb.BulkUpdateRequest
			for range 8 {
				request, more := <-pending
				if !more {
					return nil
				}
				window = append(window, request)
			}
			for _, request := range window {
				nAnswered.Add(1)
				if err := stream.SendMsg(stored(request)); err != nil {
					return err
				}
			}
		}
	})
	client := connect(t, adamem.Config{Endpoint: address})
	result := must(client.BulkUpdate(timeout(t, time.Minute), numbered(800), adamem.BulkOptions{BatchSize: 1}))(t)
	if result.NCreated != 800 || most.Load() != 8 {
		t.Fatalf("%+v, at most %d unanswered", result, most.Load())
	}
}

func TestABrokenStreamIsContinuedWithTheSameRequestIDs(t *testing.T) {
	var mu sync.Mutex
	var order []string
	times := map[string]int{}
	nStreams := 0
	address := serve(t, func(_ any, stream grpc.ServerStream) error {
		mu.Lock()
		nStreams++
		left := 5 * nStreams
		mu.Unlock()
		for {
			var request pb.BulkUpdateRequest
			if err := stream.RecvMsg(&request); err != nil {
				return untilEnd(err)
			}
			mu.Lock()
			if times[request.GetRequestId()]++; times[request.GetRequestId()] == 1 {
				order = append(order, request.GetSlots()[0].GetContent())
			}
			mu.Unlock()
			if left--; left < 0 { // Carried out, but not answered.
				return unavailable(time.Millisecond)
			}
			if err := stream.SendMsg(stored(&request)); err != nil {
				return err
			}
		}
	})
	client := connect(t, adamem.Config{Endpoint: address, MaxAttempts: 2})
	result := must(client.BulkUpdate(timeout(t, time.Minute), numbered(100), adamem.BulkOptions{BatchSize: 1}))(t)
	if result.NCreated != 100 || nStreams < 3 {
		t.Fatalf("%+v in %d streams", result, nStreams)
	}
	var want []string
	for slot := range numbered(100) {
		want = append(want, slot.Content)
	}
	if !slices.Equal(order, want) {
		t.Fatalf("stored were %v", order)
	}
}

func TestAWriteThatIsGivenUpTakesNoSlotAndLeavesBatchesWhole(t *testing.T) {
	goOn := make(chan struct{})
	var sizes []int
	var contents []string
	address := serve(t, func(_ any, stream grpc.ServerStream) error {
		for {
			var request pb.BulkUpdateRequest
			if err := stream.RecvMsg(&request); err != nil {
				return untilEnd(err)
			}
			<-goOn
			sizes = append(sizes, len(request.GetSlots()))
			for _, slot := range request.GetSlots() {
				contents = append(contents, slot.GetContent())
			}
			if err := stream.SendMsg(stored(&request)); err != nil {
				return err
			}
		}
	})
	client := connect(t, adamem.Config{Endpoint: address})
	writer := must(client.BulkWriter(timeout(t, time.Minute), adamem.BulkOptions{BatchSize: 2, Repeatable: true}))(t)
	var taken []string
	for nGivenUp, n := 0, 0; nGivenUp < 5; n++ {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		content := fmt.Sprint(n)
		if err := writer.Write(ctx, adamem.SlotInput{Content: content}); err == nil {
			taken = append(taken, content)
		} else if nGivenUp++; !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		cancel()
	}
	close(goOn)
	result := must(writer.Close(timeout(t, time.Minute)))(t)
	if result.NItems != uint64(len(taken)) || !slices.Equal(contents, taken) || slices.Max(sizes) > 2 {
		t.Fatalf("%+v; %v were taken, %v are stored in batches of %v", result, taken, contents, sizes)
	}
}

func TestARefusedBatchEndsTheLoad(t *testing.T) {
	address := serve(t, func(_ any, stream grpc.ServerStream) error {
		for n := range 100 {
			var request pb.BulkUpdateRequest
			if err := stream.RecvMsg(&request); err != nil {
				return untilEnd(err)
			}
			if n == 3 {
				return status.Error(codes.ResourceExhausted, "the disk is full")
			}
			if err := stream.SendMsg(stored(&request)); err != nil {
				return err
			}
		}
		return io.ErrUnexpectedEOF
	})
	client := connect(t, adamem.Config{Endpoint: address})
	result, err := client.BulkUpdate(timeout(t, time.Minute), numbered(1000), adamem.BulkOptions{BatchSize: 1})
	if !errors.Is(err, adamem.ErrResourceExhausted) || result.NCreated != 3 {
		t.Fatalf("%+v %v", result, err)
	}
	writer := must(client.BulkWriter(timeout(t, time.Minute), adamem.BulkOptions{BatchSize: 1}))(t)
	for err = error(nil); err == nil; {
		err = writer.Write(t.Context(), adamem.SlotInput{Content: strings.Repeat("x", 1000)})
	}
	if !errors.Is(err, adamem.ErrResourceExhausted) {
		t.Fatal(err)
	}
	if _, err = writer.Close(t.Context()); !errors.Is(err, adamem.ErrResourceExhausted) {
		t.Fatal(err)
	}
}
