package adamem_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"

	"github.com/adamem/adamem/clients/go"
)

func Example() {
	ctx := context.Background()
	client, err := adamem.New(adamem.Config{Namespace: "example"})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()

	_, err = client.Update(ctx, adamem.SlotInput{
		Content:    "Ann is allergic to peanuts",
		Cue:        "What can Ann not eat?",
		UserID:     "ann",
		Importance: new(float32(0.9)),
	})
	if err != nil {
		log.Fatal(err)
	}
	found, err := client.Query(ctx, adamem.QueryRequest{
		Text:   "Is there any food Ann should avoid?",
		Filter: adamem.Filter{"user_id": "ann"},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, hit := range found.Hits {
		fmt.Println(hit.Slot.Content)
	}
	// Output: Ann is allergic to peanuts
}

func ExampleClient_GetSlot_errors() {
	client, err := adamem.New(adamem.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()

	_, err = client.GetSlot(context.Background(), "01HZZZZZZZZZZZZZZZZZZZZZZZ", adamem.InNamespace("nowhere"))
	var failure *adamem.Error
	switch {
	case errors.Is(err, adamem.ErrSlotNotFound):
		fmt.Println("no such slot")
	case errors.Is(err, adamem.ErrNotFound):
		errors.As(err, &failure)
		fmt.Println(failure.Reason, failure.Metadata["namespace"])
	}
	// Output: NAMESPACE_NOT_FOUND nowhere
}

func ExampleClient_BulkUpdate() {
	ctx := context.Background()
	client, err := adamem.New(adamem.Config{Namespace: "example-bulk"})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()

	lines := []adamem.SlotInput{{Content: "one"}, {Content: "two"}, {Content: "three", Importance: new(float32(7))}}
	result, err := client.BulkUpdate(ctx, slices.Values(lines), adamem.BulkOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.NCreated, "stored; item", result.Failures[0].Index, "was not")
	// Output: 2 stored; item 2 was not
}

func ExampleClient_BulkWriter() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // Gives the load up where it was not closed.
	client, err := adamem.New(adamem.Config{Namespace: "example-writer"})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()

	writer, err := client.BulkWriter(ctx, adamem.BulkOptions{BatchSize: 100})
	if err != nil {
		log.Fatal(err)
	}
	for n := range 250 {
		if err := writer.Write(ctx, adamem.SlotInput{Content: fmt.Sprint("line ", n)}); err != nil {
			break // Close tells what went wrong.
		}
	}
	result, err := writer.Close(ctx)
	fmt.Println(result.NCreated, err)
	// Output: 250 <nil>
}

func ExampleClient_ListSlots() {
	ctx := context.Background()
	client, err := adamem.New(adamem.Config{Namespace: "example-list"})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()

	for _, text := range []string{"red", "green", "blue"} {
		if _, err := client.Update(ctx, adamem.SlotInput{Content: text, Tags: []string{"colour"}}); err != nil {
			log.Fatal(err)
		}
	}
	colours := adamem.ListSlotsRequest{Filter: adamem.Filter{"tags": "colour"}}
	for slot, err := range client.ListSlots(ctx, colours) { // Pages are fetched as they are needed.
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(slot.Content)
	}
	// Output:
	// red
	// green
	// blue
}

func ExampleJobs_Wait() {
	ctx := context.Background()
	client, err := adamem.New(adamem.Config{Namespace: "example-job"})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Close() }()

	if _, err := client.Update(ctx, adamem.SlotInput{Content: "something"}); err != nil {
		log.Fatal(err)
	}
	job, err := client.Lifecycle.Verify(ctx)
	if err != nil {
		log.Fatal(err)
	}
	job, err = client.Jobs.Wait(ctx, job.ID)
	fmt.Println(job.State, job.Result["n_problems"], err)
	// Output: succeeded 0 <nil>
}
