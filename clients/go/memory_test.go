package adamem_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/adamem/adamem/clients/go"
)

func TestWhatIsStoredIsFound(t *testing.T) {
	ctx, client := t.Context(), connected(t)
	created := time.Date(2024, 3, 1, 12, 0, 0, 500_000_000, time.UTC)
	input := adamem.SlotInput{
		Content:        "Аня allergic to peanuts 🥜",
		Cue:            "What can Ann not eat?",
		Kind:           adamem.KindPreference,
		UserID:         "ann",
		AgentID:        "cook",
		ConversationID: "c1",
		Role:           "user",
		Tags:           []string{"food"},
		Metadata:       map[string]any{"source": map[string]any{"page": 7}, "tags": []string{"a", "b"}, "at": created},
		Importance:     new(float32(0.9)),
		CreatedAt:      created,
		TTL:            time.Hour,
		Language:       "en",
	}
	stored := must(client.Update(ctx, input))(t)
	if !stored.Created || stored.SlotID == "" || stored.Sequence == 0 || stored.Err != nil {
		t.Fatalf("%+v", stored)
	}
	slot := must(client.GetSlot(ctx, stored.SlotID, adamem.WithVector()))(t)
	if slot.Content != input.Content || slot.Cue != input.Cue || slot.Kind != input.Kind || slot.UserID != "ann" ||
		slot.AgentID != "cook" || slot.ConversationID != "c1" || slot.Role != "user" || slot.Importance != 0.9 ||
		!slot.CreatedAt.Equal(created) || slot.TTL != time.Hour || slot.ExpiresAt.IsZero() || slot.Language != "en" ||
		!slices.Equal(slot.Tags, input.Tags) || slot.Namespace != t.Name() || len(slot.Vector) != 384 {
		t.Fatalf("%+v", slot)
	}
	if page := slot.Metadata["source"].(map[string]any)["page"]; page != 7.0 || slot.Metadata["at"] != "2024-03-01T12:00:00.5Z" {
		t.Fatalf("%+v", slot.Metadata)
	}
	if got := must(client.GetSlot(ctx, stored.SlotID))(t); got.Vector != nil {
		t.Fatal("a vector that was not asked for")
	}

	found := must(client.Query(ctx, adamem.QueryRequest{
		Text:    "Is there any food that Ann should avoid?",
		TopK:    3,
		Filter:  adamem.Filter{"user_id": "ann", "importance": adamem.Filter{"$gte": 0.5}},
		Ranking: adamem.Ranking{"recency": 1},
	}))(t)
	if len(found.Hits) != 1 || found.Hits[0].Slot.ID != stored.SlotID || found.Confidence == nil ||
		len(found.Hits[0].ScoreParts) == 0 || found.Hits[0].DenseScore == nil || found.Timings.Total <= 0 {
		t.Fatalf("%+v", found)
	}
	byVector := must(client.Query(ctx, adamem.QueryRequest{Vector: slot.Vector, IncludeVectors: true}))(t)
	if len(byVector.Hits) != 1 || byVector.Hits[0].Score < 0.99 || !slices.Equal(byVector.Hits[0].Slot.Vector, slot.Vector) {
		t.Fatalf("%+v", byVector)
	}
	none := must(client.Query(ctx, adamem.QueryRequest{Text: "food", Mode: adamem.ModeLexical, Filter: adamem.Filter{"tags": "work"}}))(t)
	if len(none.Hits) != 0 || none.Confidence != nil {
		t.Fatalf("%+v", none)
	}

	input.ID, input.Content = stored.SlotID, "Ann may eat peanuts"
	if again := must(client.Update(ctx, input))(t); again.Created || again.SlotID != stored.SlotID {
		t.Fatalf("%+v", again)
	}
}

func TestARequestIDIsCarriedOutOnce(t *testing.T) {
	ctx, client := t.Context(), connected(t)
	slot := adamem.SlotInput{Content: "The gate code is 4711"}
	first := must(client.Update(ctx, slot, adamem.WithRequestID("once")))(t)
	if second := must(client.Update(ctx, slot, adamem.WithRequestID("once")))(t); second.SlotID != first.SlotID {
		t.Fatalf("%+v and %+v", first, second)
	}
	slot.Content = "The gate code is 1234"
	_, err := client.Update(ctx, slot, adamem.WithRequestID("once"))
	if !errors.Is(err, adamem.ErrRequestIDReused) || !errors.Is(err, adamem.ErrFailedPrecondition) {
		t.Fatal(err)
	}
}

func TestErrorsOfTheServer(t *testing.T) {
	ctx, client := t.Context(), connected(t)
	_, err := client.GetSlot(ctx, "01HZZZZZZZZZZZZZZZZZZZZZZZ", adamem.InNamespace("nowhere"))
	if !errors.Is(err, adamem.ErrNamespaceNotFound) || !errors.Is(err, adamem.ErrNotFound) || errors.Is(err, adamem.ErrSlotNotFound) {
		t.Fatal(err)
	}
	must(client.Update(ctx, adamem.SlotInput{Content: "something"}))(t)
	if _, err = client.GetSlot(ctx, "01HZZZZZZZZZZZZZZZZZZZZZZZ"); !errors.Is(err, adamem.ErrSlotNotFound) {
		t.Fatal(err)
	}
	_, err = client.Update(ctx, adamem.SlotInput{Content: "x", Importance: new(float32(2))})
	var failure *adamem.Error
	if !errors.As(err, &failure) || !errors.Is(err, adamem.ErrInvalidArgument) || len(failure.Violations) != 1 ||
		!strings.Contains(failure.Violations[0].Field, "importance") {
		t.Fatalf("%#v", err)
	}
	if _, err = client.Query(ctx, adamem.QueryRequest{Vector: []float32{1, 2}}); !errors.Is(err, adamem.ErrDimensionMismatch) {
		t.Fatal(err)
	}
	if _, err = client.GetSlot(ctx, "x", adamem.InNamespace("\xff")); !errors.Is(err, adamem.ErrInvalidArgument) {
		t.Fatal("text that is not UTF-8:", err)
	}
	short, cancel := context.WithTimeout(ctx, time.Nanosecond)
	defer cancel()
	_, err = client.ServerInfo(short)
	if !errors.Is(err, adamem.ErrDeadlineExceeded) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err = client.ServerInfo(gone); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestWhatCannotBeSentIsRefusedBeforeItIsSent(t *testing.T) {
	client := connect(t, adamem.Config{Endpoint: "127.0.0.1:1", MaxAttempts: 1})
	ctx := t.Context()
	update := func(slot adamem.SlotInput) error {
		_, err := client.Update(ctx, slot)
		return err
	}
	query := func(query adamem.QueryRequest, options ...adamem.NamespaceOption) error {
		_, err := client.Query(ctx, query, options...)
		return err
	}
	list := func(list adamem.ListSlotsRequest) error {
		_, err := client.ListSlotsPage(ctx, list)
		return err
	}
	restore := func(which adamem.MarkRequest) error {
		_, err := client.Archive.Restore(ctx, which)
		return err
	}
	pin := func(which adamem.MarkRequest) error {
		_, err := client.Archive.Pin(ctx, which)
		return err
	}
	deletion := func(which adamem.DeleteSlotsRequest) error {
		_, err := client.DeleteSlots(ctx, which)
		return err
	}
	deep := map[string]any{}
	for range 40 {
		deep = map[string]any{"d": deep}
	}
	self := adamem.Filter{}
	self["$not"] = self
	for name, each := range map[string]struct {
		err   error
		field string
	}{
		"kind":                 {update(adamem.SlotInput{Content: "x", Kind: "rumour"}), "kind"},
		"kind in upper case":   {update(adamem.SlotInput{Content: "x", Kind: "FACT"}), "kind"},
		"text":                 {update(adamem.SlotInput{Content: "\xff"}), "content"},
		"two expiries":         {update(adamem.SlotInput{Content: "x", TTL: time.Hour, NoExpiry: true}), "ttl"},
		"year":                 {update(adamem.SlotInput{Content: "x", CreatedAt: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}), "created_at"},
		"large integer":        {update(adamem.SlotInput{Content: "x", Metadata: map[string]any{"n": 1<<53 + 1}}), "metadata.n"},
		"not a number":         {update(adamem.SlotInput{Content: "x", Metadata: map[string]any{"n": math.NaN()}}), "metadata.n"},
		"no JSON":              {update(adamem.SlotInput{Content: "x", Metadata: map[string]any{"n": []any{struct{}{}}}}), "metadata.n[0]"},
		"deep":                 {update(adamem.SlotInput{Content: "x", Metadata: deep}), "metadata" + strings.Repeat(".d", 31)},
		"no query":             {query(adamem.QueryRequest{}), "text"},
		"two queries":          {query(adamem.QueryRequest{Text: "x", Vector: []float32{1}}), "text"},
		"negative top_k":       {query(adamem.QueryRequest{Text: "x", TopK: -1}), "top_k"},
		"weight":               {query(adamem.QueryRequest{Text: "x", Ranking: adamem.Ranking{"magic": 1}}), "ranking"},
		"no namespace":         {query(adamem.QueryRequest{Text: "x", Namespaces: []string{}}), "namespaces"},
		"namespaces twice":     {query(adamem.QueryRequest{Text: "x", Namespaces: []string{"a"}}, adamem.InNamespace("b")), "namespaces"},
		"filter's field":       {query(adamem.QueryRequest{Text: "x", Filter: adamem.Filter{"lang": "en"}}), "filter.lang"},
		"filter's operator":    {query(adamem.QueryRequest{Text: "x", Filter: adamem.Filter{"role": adamem.Filter{"$like": "u"}}}), "filter.role.$like"},
		"filter of itself":     {query(adamem.QueryRequest{Text: "x", Filter: self}), "filter" + strings.Repeat(".$not", 65)},
		"filter's nil":         {query(adamem.QueryRequest{Text: "x", Filter: adamem.Filter{"role": nil}}), "filter.role"},
		"filter's list":        {query(adamem.QueryRequest{Text: "x", Filter: adamem.Filter{"role": []string{"user"}}}), "filter.role"},
		"filter's $in":         {query(adamem.QueryRequest{Text: "x", Filter: adamem.Filter{"role": map[string]any{"$in": "user"}}}), "filter.role.$in"},
		"filter's empty part":  {query(adamem.QueryRequest{Text: "x", Filter: adamem.Filter{"$or": []adamem.Filter{}}}), "filter.$or"},
		"nothing to delete":    {deletion(adamem.DeleteSlotsRequest{}), "slot_ids"},
		"no id to delete":      {deletion(adamem.DeleteSlotsRequest{SlotIDs: []string{}}), "slot_ids"},
		"everything to delete": {deletion(adamem.DeleteSlotsRequest{Filter: adamem.Filter{}}), "filter"},
		"which archived slots": {list(adamem.ListSlotsRequest{Archived: "all"}), "archived"},
		"nothing to restore":   {restore(adamem.MarkRequest{}), "slot_ids"},
		"no id to restore":     {restore(adamem.MarkRequest{SlotIDs: []string{}}), "slot_ids"},
		"everything to pin":    {pin(adamem.MarkRequest{Filter: adamem.Filter{}}), "filter"},
		"ids and a filter":     {pin(adamem.MarkRequest{SlotIDs: []string{"x"}, Filter: adamem.Filter{"kind": "fact"}}), "slot_ids"},
	} {
		var failure *adamem.Error
		if !errors.As(each.err, &failure) || failure.Code != codes.InvalidArgument || failure.Reason != "INVALID_ARGUMENT" ||
			len(failure.Violations) != 1 || failure.Violations[0].Field != each.field || failure.Metadata["field"] != each.field {
			t.Errorf("%s: %#v", name, each.err)
		}
	}
}

func TestAMisspeltFieldOfAFilterIsToldTheOneThatItResembles(t *testing.T) {
	ctx, client := t.Context(), connected(t)
	for key, meant := range map[string]string{
		"UserID": "user_id", "userid": "user_id", "user-id": "user_id", "usr_id": "user_id", "ConversationID": "conversation_id",
		"tag": "tags", "knid": "kind", "createdAt": "created_at", "lang": "metadata.lang", "owner": "metadata.owner",
	} {
		_, err := client.Query(ctx, adamem.QueryRequest{Text: "x", Filter: adamem.Filter{key: "x"}})
		if !errors.Is(err, adamem.ErrInvalidArgument) || !strings.Contains(err.Error(), fmt.Sprintf("did you mean %q?", meant)) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestBatchesTellOfEachItem(t *testing.T) {
	ctx, client := t.Context(), connected(t)
	results := must(client.BatchUpdate(ctx, []adamem.SlotInput{
		{Content: "one"}, {Content: "two", Importance: new(float32(7))}, {Content: "three"},
	}))(t)
	if len(results) != 3 || results[0].Err != nil || !errors.Is(results[1].Err, adamem.ErrInvalidArgument) ||
		results[1].SlotID != "" || !results[2].Created {
		t.Fatalf("%+v", results)
	}
	_, err := client.BatchUpdate(ctx, []adamem.SlotInput{{Content: "four"}, {Content: "\xff"}})
	var failure *adamem.Error
	if !errors.As(err, &failure) || failure.Violations[0].Field != "items[1].content" {
		t.Fatal(err)
	}
	if slots := collect(t, client.ListSlots(ctx, adamem.ListSlotsRequest{})); len(slots) != 2 {
		t.Fatalf("%+v", slots)
	}
}

func TestPages(t *testing.T) {
	ctx, client := t.Context(), connected(t)
	var texts []string
	for index := range 7 {
		texts = append(texts, strings.Repeat("word ", index+1))
		must(client.Update(ctx, adamem.SlotInput{Content: texts[index], Metadata: map[string]any{"n": index}}))(t)
	}
	all := collect(t, client.ListSlots(ctx, adamem.ListSlotsRequest{Page: adamem.PageOptions{Size: 3}}))
	if len(all) != 7 || all[6].Content != texts[6] {
		t.Fatalf("%+v", all)
	}
	page := must(client.ListSlotsPage(ctx, adamem.ListSlotsRequest{Page: adamem.PageOptions{Size: 3}}))(t)
	rest := collect(t, client.ListSlots(ctx, adamem.ListSlotsRequest{Page: adamem.PageOptions{Size: 2, Token: page.NextPageToken}}))
	if len(page.Items) != 3 || len(rest) != 4 || rest[0].Content != texts[3] {
		t.Fatalf("%+v, then %+v", page, rest)
	}
	filtered := adamem.ListSlotsRequest{Filter: adamem.Filter{"$or": []any{
		adamem.Filter{"metadata.n": adamem.Filter{"$lt": 2}}, map[string]any{"metadata.n": map[string]any{"$in": []int{5, 6}}},
	}}}
	if some := collect(t, client.ListSlots(ctx, filtered)); len(some) != 4 {
		t.Fatalf("%+v", some)
	}
	for slot, err := range client.ListSlots(ctx, adamem.ListSlotsRequest{Page: adamem.PageOptions{Size: 1}}) {
		if err != nil || slot.Content != texts[0] {
			t.Fatal(slot, err)
		}
		break
	}
	n := 0
	for slot, err := range client.ListSlots(ctx, adamem.ListSlotsRequest{Page: adamem.PageOptions{Token: "no such"}}) {
		if n++; !errors.Is(err, adamem.ErrInvalidArgument) || slot.ID != "" {
			t.Fatal(slot, err)
		}
	}
	if n != 1 {
		t.Fatal("an error is the last thing that is yielded", n)
	}
}

func TestDeleteAndTouch(t *testing.T) {
	ctx, client := t.Context(), connected(t)
	var ids []string
	for _, text := range []string{"one", "two", "three"} {
		ids = append(ids, must(client.Update(ctx, adamem.SlotInput{Content: text, Tags: []string{text}}))(t).SlotID)
	}
	touched := must(client.TouchSlots(ctx, adamem.TouchSlotsRequest{SlotIDs: append(ids, "01HZZZZZZZZZZZZZZZZZZZZZZZ"), TTL: time.Hour}))(t)
	if touched.NTouched != 3 || touched.NNotFound != 1 {
		t.Fatalf("%+v", touched)
	}
	touched = must(client.TouchSlots(ctx, adamem.TouchSlotsRequest{Filter: adamem.Filter{"tags": "one"}, NoExpiry: true}))(t)
	if slot := must(client.GetSlot(ctx, ids[0]))(t); touched.NTouched != 1 || !slot.ExpiresAt.IsZero() {
		t.Fatalf("%+v %+v", touched, slot)
	}
	deleted := must(client.DeleteSlots(ctx, adamem.DeleteSlotsRequest{SlotIDs: ids[:1], KeepHistory: true}))(t)
	if deleted.NDeleted != 1 {
		t.Fatalf("%+v", deleted)
	}
	erased := must(client.DeleteSlots(ctx, adamem.DeleteSlotsRequest{Filter: adamem.Filter{"tags": "two"}, Erase: true}))(t)
	if erased.NDeleted != 1 || erased.Receipt.ErasedAt.IsZero() || len(erased.Receipt.Structures) == 0 {
		t.Fatalf("%+v", erased)
	}
}
