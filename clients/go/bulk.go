package adamem

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"sync"

	"google.golang.org/protobuf/proto"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

const (
	// A full window keeps the server's encoder and its writer busy; it is also all that a broken stream sends again.
	maxUnanswered    = 8
	maxBatchBytes    = 8 << 20
	maxFailuresKept  = 1000
	defaultBatchSize = 256
)

// BulkOptions say how a bulk load is sent.
type BulkOptions struct {
	// BatchSize is the most slots of one batch. Zero: 256. A batch also ends at 8 MiB.
	BatchSize int
	// Repeatable derives the batches' request ids from their content, so that the same load, with the same batches, carried
	// out again within 24 hours stores nothing twice. Else they are random.
	Repeatable bool
	// OnProgress is called with the state after each answer, from a goroutine of the writer; it holds up the load.
	OnProgress func(BulkResult)
}

// BulkResult is the state of a bulk load, during it or at its end.
type BulkResult struct {
	// NItems is the number of items whose fate is known.
	NItems uint64
	// NCreated are new slots, NReplaced those that replaced one of the same id, NFailed items that were not stored.
	NCreated, NReplaced, NFailed uint64
	// NDuplicates are items for which a slot there already stands, as the namespace's policy says.
	NDuplicates uint64
	// Failures are the first 1,000 items that were not stored.
	Failures []BulkFailure
	// Sequence is the namespace's journal sequence number after the last batch.
	Sequence uint64
}

// BulkFailure is an item of a bulk load that was not stored.
type BulkFailure struct {
	// Index of the item, from 0.
	Index uint64
	// Err says why; an *Error.
	Err error
}

// BulkUpdate stores any number of slots over one stream, reading them only as fast as the server stores them. See
// [Client.BulkWriter], which it is made of.
func (c *Client) BulkUpdate(
	ctx context.Context, slots iter.Seq[SlotInput], bulk BulkOptions, options ...NamespaceOption,
) (BulkResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	writer, err := c.BulkWriter(ctx, bulk, options...)
	if err != nil {
		return BulkResult{}, err
	}
	for slot := range slots {
		if writer.Write(ctx, slot) != nil {
			break // Close tells what went wrong.
		}
	}
	return writer.Close(ctx)
}

// BulkWriter stores any number of slots over one stream, at most eight batches ahead of the server's answers: Write waits
// while they are unanswered, so that memory stays flat however many slots there are.
//
// When the connection breaks, the unanswered batches are sent again on a new stream; their request ids keep them from being
// stored twice. An item that cannot be sent, or that the server refuses, is a failure of the result and does not stop the
// load. Write, Flush and Close are for one goroutine.
type BulkWriter struct {
	options   BulkOptions
	namespace string
	batch     *bulkBatch
	nBytes    int
	nRead     uint64
	closed    bool
	batches   chan *bulkBatch
	ended     chan struct{} // closed once err is final

	mu     sync.Mutex
	result BulkResult
	err    error
}

// bulkBatch is a request and the index of each of its slots.
type bulkBatch struct {
	request *pb.BulkUpdateRequest
	indexes []uint64
}

// BulkWriter starts a bulk load, which lives no longer than ctx: cancel it to give the load up. Close ends it otherwise, and
// must be called then.
func (c *Client) BulkWriter(
	ctx context.Context, bulk BulkOptions, options ...NamespaceOption,
) (*BulkWriter, error) {
	if bulk.BatchSize < 0 {
		return nil, invalid("batch_size", "at least 1 is expected, or 0 for the default")
	}
	if bulk.BatchSize == 0 {
		bulk.BatchSize = defaultBatchSize
	}
	writer := &BulkWriter{
		options:   bulk,
		namespace: c.reading(options),
		batches:   make(chan *bulkBatch),
		ended:     make(chan struct{}),
	}
	go writer.run(ctx, c)
	return writer, nil
}

// Write adds a slot, and waits while the server is behind. An error says that the load has failed, and Close how far it
// came; that of a ctx that ended says that the slot was not taken, and may be written again.
func (w *BulkWriter) Write(ctx context.Context, slot SlotInput) error {
	if w.closed {
		return invalid("writer", "is closed")
	}
	var check checks
	encoded, index := check.slot(slot), w.nRead
	if check.err != nil {
		w.nRead++
		w.mu.Lock()
		w.fail(index, itemError(int(index), check.err))
		w.mu.Unlock()
		return w.failure()
	}
	nBytes := proto.Size(encoded)
	// A full batch is one that an earlier call could not send before its ctx ended.
	if w.batch != nil && (w.nBytes+nBytes > maxBatchBytes || len(w.batch.indexes) == w.options.BatchSize) {
		if err := w.Flush(ctx); err != nil {
			return err
		}
	}
	w.nRead++
	if w.batch == nil {
		w.batch = &bulkBatch{request: &pb.BulkUpdateRequest{
			Namespace: w.namespace, Slots: make([]*pb.SlotInput, 0, min(w.options.BatchSize, 1024)),
		}}
	}
	w.batch.request.Slots = append(w.batch.request.Slots, encoded)
	w.batch.indexes = append(w.batch.indexes, index)
	w.nBytes += nBytes
	if len(w.batch.indexes) < w.options.BatchSize {
		return w.failure()
	}
	if err := w.Flush(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return w.failure() // The slot is taken; where ctx ended the next call sends it.
}

// Flush sends the slots that were written so far without waiting for the batch to be full, nor for the answer.
func (w *BulkWriter) Flush(ctx context.Context) error {
	if w.batch == nil {
		return w.failure()
	}
	if w.batch.request.RequestId == "" {
		id, err := w.batchID()
		if err != nil {
			return err
		}
		w.batch.request.RequestId = id
	}
	select {
	case w.batches <- w.batch:
		w.batch, w.nBytes = nil, 0
		return w.failure()
	case <-w.ended:
		return w.failure()
	case <-ctx.Done():
		w.batch.request.RequestId = "" // More may join it.
		return errorFromContext(ctx)
	}
}

// Close sends what is left, waits until the server has answered everything, and returns what came of it. With an error,
// what OnProgress was told stays stored.
func (w *BulkWriter) Close(ctx context.Context) (BulkResult, error) {
	err := error(nil)
	if !w.closed {
		if err = w.Flush(ctx); err == nil {
			w.closed = true
			close(w.batches)
		}
	}
	if err == nil {
		select {
		case <-w.ended:
		case <-ctx.Done():
			err = errorFromContext(ctx)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		err = w.err
	}
	return w.result, err
}

func (w *BulkWriter) batchID() (string, error) {
	if !w.options.Repeatable {
		return rand.Text(), nil
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(w.batch.request)
	if err != nil {
		return "", invalid("request", "cannot be sent: "+err.Error())
	}
	digest := sha256.Sum256(encoded)
	return hex.EncodeToString(digest[:]), nil
}

// failure is what ended the load, or nil.
func (w *BulkWriter) failure() error {
	select {
	case <-w.ended:
		return w.err
	default:
		return nil
	}
}

// run sends batches until all are answered, over as many streams as it takes.
func (w *BulkWriter) run(ctx context.Context, c *Client) {
	load := &bulkLoad{writer: w, stub: c.memory, tries: c.streamAttempts()}
	err := load.run(ctx)
	w.mu.Lock()
	w.err = err
	w.mu.Unlock()
	close(w.ended)
}

// receive takes the answer of a batch.
func (w *BulkWriter) receive(batch *bulkBatch, response *pb.BulkUpdateResponse) error {
	if len(response.GetResults()) != len(batch.indexes) {
		return fault("the server did not answer a batch of the bulk load as agreed")
	}
	w.mu.Lock()
	w.result.Sequence = response.GetSequence()
	for n, each := range response.GetResults() {
		switch {
		case each.GetStatus() != nil:
			w.fail(batch.indexes[n], errorFromStatus(each.GetStatus()))
			continue
		case each.GetDuplicateOf() != "":
			w.result.NDuplicates++
		case each.GetCreated():
			w.result.NCreated++
		default:
			w.result.NReplaced++
		}
		w.result.NItems++
	}
	state := w.result
	w.mu.Unlock()
	if w.options.OnProgress != nil {
		w.options.OnProgress(state)
	}
	return nil
}

// fail counts an item that was not stored; w.mu is held. What is kept is only appended to, so that states told before stay
// as they were.
func (w *BulkWriter) fail(index uint64, err error) {
	w.result.NFailed++
	w.result.NItems++
	if len(w.result.Failures) < maxFailuresKept {
		w.result.Failures = append(w.result.Failures, BulkFailure{index, err})
	}
}
