package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/adamem/adamem/clients/go"
	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

const callsPerRound = 200

// measureUnary alternates rounds of the client and of the bare stub, which sends the same and reads the answer as it comes:
// with one context that has a deadline for both, and with none, where the client adds Config.Timeout and the stub nothing.
func measureUnary(address string, rounds int) (map[string]any, error) {
	limited, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
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
	stored, err := client.Update(limited, adamem.SlotInput{Content: oneSlot().GetContent(), Vector: unit()})
	if err != nil {
		return nil, err
	}
	result := map[string]any{}
	for kind, ctx := range map[string]context.Context{"with_deadline": limited, "without_deadline": context.Background()} {
		of := map[string]any{}
		for name, pair := range pairs(ctx, client, pb.NewMemoryServiceClient(connection), stored.SlotID) {
			if of[name], err = compare(pair, rounds); err != nil {
				return nil, err
			}
		}
		result[kind] = of
	}
	return result, nil
}

// pairs are the calls by name: of the client, and of the stub.
func pairs(
	ctx context.Context, client *adamem.Client, stub pb.MemoryServiceClient, slotID string,
) map[string][2]func() error {
	content := oneSlot().GetContent()
	encoded := make([]byte, 0, 4*dim)
	for _, value := range unit() {
		encoded = binary.LittleEndian.AppendUint32(encoded, math.Float32bits(value))
	}
	return map[string][2]func() error{
		"update": {
			func() error {
				_, err := client.Update(ctx, adamem.SlotInput{ID: slotID, Content: content, Vector: unit(), UserID: "ann"})
				return err
			},
			func() error {
				_, err := stub.Update(ctx, &pb.UpdateRequest{Namespace: "bench", RequestId: rand.Text(), Slot: &pb.SlotInput{
					Id: slotID, Content: content, Vector: &pb.Vector{Values: encoded}, Scope: &pb.Scope{UserId: "ann"},
				}})
				return err
			},
		},
		"query": {
			func() error {
				_, err := client.Query(ctx, adamem.QueryRequest{Vector: unit()})
				return err
			},
			func() error {
				query := &pb.QueryRequest_Vector{Vector: &pb.Vector{Values: encoded}}
				_, err := stub.Query(ctx, &pb.QueryRequest{Namespaces: []string{"bench"}, Query: query})
				return err
			},
		},
		"get_slot": {
			func() error {
				_, err := client.GetSlot(ctx, slotID)
				return err
			},
			func() error {
				_, err := stub.GetSlot(ctx, &pb.GetSlotRequest{Namespace: "bench", SlotId: slotID})
				return err
			},
		},
	}
}

// unit is a vector of length 1.
func unit() []float32 {
	vector := make([]float32, dim)
	vector[0] = 1
	return vector
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
