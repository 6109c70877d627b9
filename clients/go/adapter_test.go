package adamem_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/adamem/adamem/clients/go"
)

// topics are answers, each before a question for it in other words.
var topics = [][2]string{
	{"The badge opens the blue door at the rear.", "How do I get into the lab"},
	{"Reimbursements go to Marta by the tenth.", "Who pays my taxi back"},
	{"The spare projector is under the stairs.", "Where can I find something to show slides"},
	{"Lunch is at half past twelve, in the yard.", "When do people here eat"},
	{"Write to ops before touching the router.", "Whom do I ask when the network is slow"},
	{"Plants are watered by the night porter.", "Who looks after the green things"},
	{"The north lift stops only on even floors.", "Why can I not reach level three"},
	{"Printer paper is ordered every first Monday.", "What if we run out of sheets"},
}

func TestWhatAnAdapterHasLearned(t *testing.T) {
	ctx := timeout(t, 2*time.Minute)
	server := newServer(t, "ADAMEM_ADAPTER_AUTO_PAIRS=0")
	client := connect(t, adamem.Config{Endpoint: server.Address(), Namespace: "office"})
	var others []adamem.SlotInput
	for n := range 60 {
		others = append(others, adamem.SlotInput{Content: fmt.Sprintf("Room %d was painted in %d, and its door is number %d.", n, 1950+n, 7*n)})
	}
	unhelpful := must(client.BatchUpdate(ctx, others))(t)[0].SlotID
	for _, topic := range topics {
		id := must(client.Update(ctx, adamem.SlotInput{Content: topic[0]}))(t).SlotID
		for _, wording := range []string{"%s?", "Tell me: %s?", "%s, please?", "I am new here. %s?"} {
			must(client.Feedback(ctx, adamem.FeedbackRequest{
				Text: fmt.Sprintf(wording, topic[1]), HelpedSlotIDs: []string{id}, UnhelpfulSlotIDs: []string{unhelpful},
			}))(t)
		}
	}
	status := must(client.TrainAdapter(ctx, adamem.TrainAdapterRequest{Wait: true}))(t)
	if status.LastTraining == nil || status.LastTraining.Outcome != adamem.TrainingPromoted || status.Version != 1 {
		t.Fatalf("%+v %+v", status, status.LastTraining)
	}
	// What is unhelpful here is full of digits, and what helps is not.
	if weight, known := status.LearnedWeights["digits"]; !known || weight == 0 {
		t.Fatalf("%+v", status.LearnedWeights)
	}
	hit := must(client.Query(ctx, adamem.QueryRequest{Text: topics[0][1], TopK: 1}))(t).Hits[0]
	if _, known := hit.ScoreParts["learned"]; !known {
		t.Fatalf("%+v", hit.ScoreParts)
	}
	versions := must(client.ListAdapterVersions(ctx))(t)
	if len(versions) != 1 || !versions[0].Serving || versions[0].Quality.Candidate <= versions[0].Quality.Baseline {
		t.Fatalf("%+v", versions)
	}
	if status = must(client.RollbackAdapter(ctx, 0))(t); status.Version != 0 || len(status.LearnedWeights) != 0 {
		t.Fatalf("%+v", status)
	}
}
