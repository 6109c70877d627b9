package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// sink answers at once and stores nothing, so that what is measured is the client. It is a process of its own, for its memory
// would be counted as the client's.
type sink struct {
	pb.UnimplementedMemoryServiceServer
	answer *pb.QueryResponse
}

// startSink runs this program again as the sink; its address, and what ends it.
func startSink() (string, func(), error) {
	program, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	command := exec.Command(program, "-sink")
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := command.Start(); err != nil {
		return "", nil, err
	}
	stop := func() {
		_ = stdin.Close()
		_ = command.Wait()
	}
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("the sink did not start: %w", err)
	}
	return strings.TrimSpace(address), stop, nil
}

// serveSink serves until its input ends, so that it never outlives who started it.
func serveSink() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	pb.RegisterMemoryServiceServer(server, &sink{answer: fourHits()})
	fmt.Println(listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		server.Stop()
	}()
	return server.Serve(listener)
}

func fourHits() *pb.QueryResponse {
	response := &pb.QueryResponse{Confidence: new(float32(0.8)), Timings: &pb.QueryTimings{Total: durationpb.New(1)}}
	for range 4 {
		response.Hits = append(response.Hits, &pb.Hit{Slot: oneSlot(), Score: 1, ScoreParts: map[string]float32{"dense": 1, "lexical": 2}})
	}
	return response
}

func oneSlot() *pb.Slot {
	return &pb.Slot{
		Id: "01HZZZZZZZZZZZZZZZZZZZZZZZ", Content: strings.Repeat("What Ann said about it. ", 8), Kind: pb.SlotKind_SLOT_KIND_FACT,
		Scope: &pb.Scope{UserId: "ann"}, Tags: []string{"a"}, Importance: 0.5, Namespace: "bench",
		CreatedAt: timestamppb.Now(), UpdatedAt: timestamppb.Now(),
	}
}

func (s *sink) Query(context.Context, *pb.QueryRequest) (*pb.QueryResponse, error) {
	return s.answer, nil
}

func (s *sink) GetSlot(context.Context, *pb.GetSlotRequest) (*pb.GetSlotResponse, error) {
	return &pb.GetSlotResponse{Slot: s.answer.GetHits()[0].GetSlot()}, nil
}

func (s *sink) Update(context.Context, *pb.UpdateRequest) (*pb.UpdateResponse, error) {
	return &pb.UpdateResponse{Result: &pb.UpdateResult{SlotId: "01HZZZZZZZZZZZZZZZZZZZZZZZ", Created: true}, Sequence: 1}, nil
}

func (s *sink) BulkUpdate(stream grpc.BidiStreamingServer[pb.BulkUpdateRequest, pb.BulkUpdateResponse]) error {
	sequence := uint64(0)
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		sequence++
		response := &pb.BulkUpdateResponse{Sequence: sequence}
		for range request.GetSlots() {
			response.Results = append(response.Results, &pb.UpdateResult{SlotId: "01HZZZZZZZZZZZZZZZZZZZZZZZ", Created: true})
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}
