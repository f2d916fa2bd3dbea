// Verifies a phone by a client that OpenAPI Generator made: `caller URL KEY PHONE`.
//
// The code is read from standard input; what was answered is printed as JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"caller/otpkitclient"
)

func required[T any](answer T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, "refused:", err)
		os.Exit(1)
	}
	return answer
}

func main() {
	baseURL, key, phone := os.Args[1], os.Args[2], os.Args[3]
	settings := otpkitclient.NewConfiguration()
	settings.Servers = otpkitclient.ServerConfigurations{{URL: baseURL}}
	api := otpkitclient.NewAPIClient(settings).DefaultAPI
	ctx := context.WithValue(context.Background(), otpkitclient.ContextAccessToken, key)

	wanted := otpkitclient.NewChallengeRequest(phone)
	wanted.SetIp("203.0.113.7")
	wanted.SetParams(map[string]string{"product": "otpkit"})
	challenge, _, err := api.Issue(ctx).ChallengeRequest(*wanted).IdempotencyKey("form-1").Execute()
	required(challenge, err)
	fmt.Println("issued")

	line := required(bufio.NewReader(os.Stdin).ReadString('\n'))
	code := strings.TrimSpace(line)
	wrong := fmt.Sprint((int(code[0]-'0')+1)%10) + code[1:]
	_, _, err = api.Verify(ctx).VerificationRequest(*otpkitclient.NewVerificationRequest(phone, wrong)).Execute()
	var failed *otpkitclient.GenericOpenAPIError
	if !errors.As(err, &failed) {
		required(0, fmt.Errorf("a wrong code was answered by %v", err))
	}
	refused, isProblem := failed.Model().(otpkitclient.ProblemDocument)
	if !isProblem {
		required(0, fmt.Errorf("a wrong code was answered by %T", failed.Model()))
	}

	right := otpkitclient.NewVerificationRequest(phone, code)
	right.SetRegion("CN")
	proof, _, err := api.Verify(ctx).VerificationRequest(*right).Execute()
	required(proof, err)
	redemption := otpkitclient.NewRedemptionRequest(proof.Token)
	redemption.SetPhone(phone)
	redeemed, _, err := api.Redeem(ctx).RedemptionRequest(*redemption).Execute()
	required(redeemed, err)
	found := required(json.Marshal(map[string]any{
		"delivery": challenge.Delivery,
		"seconds":  challenge.ExpiresIn,
		"refused":  refused.Code,
		"left":     refused.GetAttemptsLeft(),
		"phone":    redeemed.Phone,
		"replayed": redeemed.Replayed,
		"verified": redeemed.VerifiedAt.UnixMilli(),
	}))
	fmt.Println(string(found))
}
