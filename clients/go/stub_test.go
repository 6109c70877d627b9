package adamem_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// stub is a server of any method: it counts calls by full name, refuses the first ones as UNAVAILABLE, and answers the
// others with the shortest whole answer.
type stub struct {
	mu       sync.Mutex
	calls    map[string]int
	nRefused int
}

func (s *stub) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counted := s.calls
	s.calls = map[string]int{}
	return counted
}

func (s *stub) handle(_ any, stream grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(stream)
	s.mu.Lock()
	s.calls[name]++
	n := s.calls[name]
	s.mu.Unlock()
	if n <= s.nRefused {
		return unavailable(time.Millisecond)
	}
	switch name {
	case pb.MemoryService_BulkUpdate_FullMethodName:
		return answerBulk(stream)
	case pb.PackageService_ImportNamespace_FullMethodName:
		return answerImport(stream)
	}
	if err := stream.RecvMsg(&emptypb.Empty{}); err != nil {
		return err
	}
	for _, answer := range answers(name) {
		if err := stream.SendMsg(answer); err != nil {
			return err
		}
	}
	return nil
}

func answers(name string) []proto.Message {
	switch name {
	case pb.JobService_WatchJob_FullMethodName:
		job := &pb.Job{Id: "j", State: pb.JobState_JOB_STATE_SUCCEEDED, FinishedAt: timestamppb.Now()}
		return []proto.Message{&pb.WatchJobResponse{Job: job}}
	case pb.PackageService_ExportNamespace_FullMethodName:
		return []proto.Message{
			&pb.ExportNamespaceResponse{Part: &pb.ExportNamespaceResponse_Package{Package: &pb.PackageInfo{NBytes: 1}}},
			&pb.ExportNamespaceResponse{Part: &pb.ExportNamespaceResponse_Chunk{Chunk: []byte("x")}},
		}
	case pb.BackupService_Backup_FullMethodName:
		digest := sha256.Sum256([]byte("data"))
		manifest := fmt.Sprintf(`{"created_at": "2026-01-01T00:00:00+00:00", "server_version": "1", "contents": {"namespaces": []},
			"members": [{"n_bytes": 4, "sha256": %q}]}`, hex.EncodeToString(digest[:]))
		return []proto.Message{
			&pb.BackupResponse{Member: "data.mdb", Data: []byte("data")},
			&pb.BackupResponse{Member: "manifest.json", Data: []byte(manifest)},
		}
	}
	return []proto.Message{&emptypb.Empty{}}
}

func answerBulk(stream grpc.ServerStream) error {
	for {
		var request pb.BulkUpdateRequest
		if err := stream.RecvMsg(&request); err != nil {
			return untilEnd(err)
		}
		if err := stream.SendMsg(stored(&request)); err != nil {
			return err
		}
	}
}

func stored(request *pb.BulkUpdateRequest) *pb.BulkUpdateResponse {
	response := &pb.BulkUpdateResponse{}
	for range request.GetSlots() {
		response.Results = append(response.Results, &pb.UpdateResult{SlotId: "s", Created: true})
	}
	return response
}

func answerImport(stream grpc.ServerStream) error {
	for {
		if err := stream.RecvMsg(&emptypb.Empty{}); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
	}
	result := &pb.ImportResult{Namespace: "n"}
	return stream.SendMsg(&pb.ImportNamespaceResponse{Part: &pb.ImportNamespaceResponse_Result{Result: result}})
}

func untilEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func unavailable(retryAfter time.Duration) error {
	described := status.New(codes.Unavailable, "the server is stopping")
	detailed, err := described.WithDetails(
		&errdetails.ErrorInfo{Reason: "SHUTTING_DOWN", Domain: "adamem"},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)},
	)
	if err != nil {
		return err
	}
	return detailed.Err()
}

// serve runs a handler of every method on a free port of this machine; its address.
func serve(t testing.TB, handler grpc.StreamHandler, options ...grpc.ServerOption) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(append(options, grpc.UnknownServiceHandler(handler), grpc.MaxRecvMsgSize(64<<20))...)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}
