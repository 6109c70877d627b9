// Command agent remembers what it is told and answers from memory, without an LLM: it reads lines, takes those that end
// in a question mark as questions, and the others as what it shall remember.
//
//	go run ./examples/agent -user ann
//	> I am allergic to peanuts
//	> What should I not eat?
//
// Told that an answer was right ("yes") or wrong ("no"), it teaches the memory how it is asked.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/adamem/adamem/clients/go"
)

// sure is the confidence below which it says that it does not know.
const sure = 0.2

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	endpoint := flag.String("endpoint", "", "the server, `HOST:PORT`; MEMORY_ENDPOINT, else localhost:50051, unless given")
	namespace := flag.String("namespace", "agent", "`name` of its memory")
	user := flag.String("user", os.Getenv("USER"), "`name` of whom it talks with")
	flag.Parse()
	client, err := adamem.New(adamem.Config{Endpoint: *endpoint, Namespace: *namespace})
	if err == nil {
		defer func() { _ = client.Close() }()
		if _, err = client.WaitUntilReady(ctx); err == nil {
			err = (&agent{client: client, user: *user}).talk(ctx, os.Stdin, os.Stdout)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type agent struct {
	client *adamem.Client
	user   string
	// question and answer are the last ones, for yes and no.
	question, answer string
}

func (a *agent) talk(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	for fmt.Fprint(out, "> "); lines.Scan(); fmt.Fprint(out, "> ") {
		reply, err := a.reply(ctx, strings.TrimSpace(lines.Text()))
		if err != nil {
			return err
		}
		fmt.Fprintln(out, reply)
	}
	fmt.Fprintln(out)
	return lines.Err()
}

func (a *agent) reply(ctx context.Context, line string) (string, error) {
	switch {
	case line == "":
		return "Tell me something, or ask.", nil
	case a.answer != "" && (line == "yes" || line == "no"):
		return a.learn(ctx, line == "yes")
	case strings.HasSuffix(line, "?"):
		return a.recall(ctx, line)
	}
	return a.remember(ctx, line)
}

func (a *agent) remember(ctx context.Context, line string) (string, error) {
	_, err := a.client.Update(ctx, adamem.SlotInput{Content: line, UserID: a.user, Role: "user"})
	return "I will remember that.", err
}

func (a *agent) recall(ctx context.Context, question string) (string, error) {
	found, err := a.client.Query(ctx, adamem.QueryRequest{
		Text: question, TopK: 1, Filter: adamem.Filter{"user_id": a.user},
	})
	if err != nil && !errors.Is(err, adamem.ErrNamespaceNotFound) { // The first thing it is told makes the namespace.
		return "", err
	}
	if len(found.Hits) == 0 || found.Confidence != nil && *found.Confidence < sure {
		a.answer = ""
		return "I do not know.", nil
	}
	a.question, a.answer = question, found.Hits[0].Slot.ID
	return "You told me: " + found.Hits[0].Slot.Content, nil
}

func (a *agent) learn(ctx context.Context, helped bool) (string, error) {
	feedback := adamem.FeedbackRequest{Text: a.question}
	if helped {
		feedback.HelpedSlotIDs = []string{a.answer}
	} else {
		feedback.UnhelpfulSlotIDs = []string{a.answer}
	}
	a.answer = ""
	_, err := a.client.Feedback(ctx, feedback)
	return "Thank you, I will learn from that.", err
}
