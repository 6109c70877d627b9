package main

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/adamem/adamem/clients/go"
	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

const callsPerRound = 300

// measureUnary alternates rounds of the client and of the bare stub, which sends the same and reads the answer as it comes.
func measureUnary(address string, rounds int) (map[string]any, error) {
	client, err := adamem.New(adamem.Config{Endpoint: address, Namespace: "bench"})
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer func() { _ = connection.Close() }()
	stub, ctx := pb.NewMemoryServiceClient(connection), context.Background()
	content := oneSlot().GetContent()
	result := map[string]any{}
	for name, pair := range map[string][2]func() error{
		"update": {
			func() error {
				_, err := client.Update(ctx, adamem.SlotInput{Content: content, UserID: "ann", Tags: []string{"a"}})
				return err
			},
			func() error {
				_, err := stub.Update(ctx, &pb.UpdateRequest{Namespace: "bench", RequestId: "0123456789abcdef0123456789", Slot: &pb.SlotInput{
					Content: content, Scope: &pb.Scope{UserId: "ann"}, Tags: []string{"a"},
				}})
				return err
			},
		},
		"query": {
			func() error {
				_, err := client.Query(ctx, adamem.QueryRequest{Text: "What did Ann say?"})
				return err
			},
			func() error {
				_, err := stub.Query(ctx, &pb.QueryRequest{Namespaces: []string{"bench"}, Query: &pb.QueryRequest_Text{Text: "What did Ann say?"}})
				return err
			},
		},
		"get_slot": {
			func() error {
				_, err := client.GetSlot(ctx, "01HZZZZZZZZZZZZZZZZZZZZZZZ")
				return err
			},
			func() error {
				_, err := stub.GetSlot(ctx, &pb.GetSlotRequest{Namespace: "bench", SlotId: "01HZZZZZZZZZZZZZZZZZZZZZZZ"})
				return err
			},
		},
	} {
		if result[name], err = compare(pair, rounds); err != nil {
			return nil, err
		}
	}
	return result, nil
}

func compare(pair [2]func() error, rounds int) (map[string]any, error) {
	var times [2][]float64
	var ratios []float64
	for round := range rounds + 2 {
		var took [2]float64
		for n := range pair {
			which := (n + round) % 2 // Each goes first as often.
			started := time.Now()
			for range callsPerRound {
				if err := pair[which](); err != nil {
					return nil, err
				}
			}
			took[which] = time.Since(started).Seconds() / callsPerRound * 1e6
		}
		if round < 2 {
			continue // Connections and caches are warm after these.
		}
		times[0], times[1] = append(times[0], took[0]), append(times[1], took[1])
		ratios = append(ratios, took[0]/took[1])
	}
	slices.Sort(ratios)
	return map[string]any{
		"client_us":   median(times[0]),
		"stub_us":     median(times[1]),
		"ratio":       median(times[0]) / median(times[1]),
		"round_ratio": map[string]float64{"p10": ratios[len(ratios)/10], "median": median(ratios), "p90": ratios[len(ratios)*9/10]},
		"n_calls":     rounds * callsPerRound,
	}, nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
