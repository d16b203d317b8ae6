package api

import "github.com/cloisterdev/cloister/tenant"

// S3Reference says where the source code lies.
type S3Reference struct {
	// URI is s3://bucket/prefix/.
	URI string `json:"uri"`
}

// DataReference is a union; only s3Reference is supported.
type DataReference struct {
	S3Reference *S3Reference `json:"s3Reference,omitempty"`
}

// CreateCustomizationRequest starts an ingestion.
type CreateCustomizationRequest struct {
	CustomizationName tenant.Text    `json:"customizationName"`
	ProfileARN        string         `json:"profileArn,omitempty"`
	DataReference     *DataReference `json:"dataReference"`
	Description       tenant.Text    `json:"description"`
	ClientToken       string         `json:"clientToken,omitempty"`
}

// CreateCustomizationResponse names what was made.
type CreateCustomizationResponse struct {
	CustomizationARN string `json:"customizationArn"`
}

// Identified is a request that names one customization by "identifier": an
// ARN or a bare ID.
type Identified struct {
	Identifier string `json:"identifier"`
}

// customization names the target for the firewall.
func (r *Identified) customization() string { return r.Identifier }

// GetCustomizationRequest asks for one customization.
type GetCustomizationRequest struct{ Identified }

// EvaluationMetrics is the score of a version on its hold-out.
type EvaluationMetrics struct {
	CompositeScore float64 `json:"compositeScore"`
}

// Progress of an ingestion, an addition to the AWS shape: the step that runs,
// and the steps before it. It is kept in memory and gone after a restart.
type Progress struct {
	StepProgress
	// Percent of the step's bytes and ETASeconds until its end; 0 where the
	// step does not know its total.
	Percent    int            `json:"percent"`
	ETASeconds float64        `json:"etaSeconds"`
	Done       []StepProgress `json:"done"`
}

// StepProgress is how far a step is.
type StepProgress struct {
	Step       string  `json:"step"`
	Files      int     `json:"files"`
	TotalFiles int     `json:"totalFiles"`
	Bytes      int64   `json:"bytes"`
	TotalBytes int64   `json:"totalBytes"`
	Chunks     int     `json:"chunks"`
	Seconds    float64 `json:"seconds"`
}

// CustomizationSummary is one line of a list.
type CustomizationSummary struct {
	ARN         string      `json:"arn"`
	Version     int         `json:"version"`
	Name        tenant.Text `json:"customizationName"`
	Description tenant.Text `json:"description"`
	Status      string      `json:"status"`
	UpdatedAt   float64     `json:"updatedAt"`
}

// GetCustomizationResponse is the state of one customization.
type GetCustomizationResponse struct {
	CustomizationSummary
	ErrorDetails      string             `json:"errorDetails,omitempty"`
	DataReference     *DataReference     `json:"dataReference,omitempty"`
	EvaluationMetrics *EvaluationMetrics `json:"evaluationMetrics,omitempty"`
	Progress          *Progress          `json:"progress,omitempty"`
}

// ListRequest pages through a list.
type ListRequest struct {
	MaxResults int    `json:"maxResults,omitempty"`
	NextToken  string `json:"nextToken,omitempty"`
}

// ListCustomizationsResponse lists the tenant's customizations.
type ListCustomizationsResponse struct {
	Customizations []CustomizationSummary `json:"customizations"`
	NextToken      string                 `json:"nextToken,omitempty"`
}

// UpdateCustomizationRequest activates, deactivates or updates.
type UpdateCustomizationRequest struct {
	Identified
	Operation     string         `json:"operation"`
	Version       int            `json:"version,omitempty"`
	DataReference *DataReference `json:"dataReference,omitempty"`
	ClientToken   string         `json:"clientToken,omitempty"`
}

// UpdateCustomizationResponse echoes the target.
type UpdateCustomizationResponse struct {
	CustomizationARN string `json:"customizationArn"`
}

// DeleteCustomizationRequest deletes all versions; deactivate first.
type DeleteCustomizationRequest struct{ Identified }

// Empty is an empty answer.
type Empty struct{}

// Permission is a union; only user is supported.
type Permission struct {
	User string `json:"user"`
}

// PermissionRequest grants or takes the right to use a customization.
type PermissionRequest struct {
	Identified
	Permission Permission `json:"permission"`
}

// ListPermissionsRequest lists who may use a customization.
type ListPermissionsRequest struct{ Identified }

// ListPermissionsResponse lists who may use a customization.
type ListPermissionsResponse struct {
	Permissions []Permission `json:"permissions"`
}

// FileContext is the file around the cursor.
type FileContext struct {
	LeftFileContent     string `json:"leftFileContent"`
	RightFileContent    string `json:"rightFileContent"`
	Filename            string `json:"filename"`
	ProgrammingLanguage struct {
		LanguageName string `json:"languageName"`
	} `json:"programmingLanguage"`
}

// GenerateCompletionsRequest asks for code at the cursor.
type GenerateCompletionsRequest struct {
	FileContext      FileContext `json:"fileContext"`
	CustomizationARN string      `json:"customizationArn"`
	MaxResults       int         `json:"maxResults,omitempty"`
	MaxTokens        int         `json:"maxTokens,omitempty"`
}

func (r *GenerateCompletionsRequest) customization() string { return r.CustomizationARN }

// Position is where a token is supported by the customization's own corpus.
type Position struct {
	Doc    string `json:"doc"`
	Line   int    `json:"line"`
	Offset int    `json:"offset"`
}

// CompletionToken is a token with its provenance, an addition to the AWS
// shape: every token comes either from the request itself or from positions
// in the customization's corpus.
type CompletionToken struct {
	Text       string     `json:"text"`
	FromPrompt bool       `json:"fromPrompt,omitempty"`
	Support    []Position `json:"support,omitempty"`
}

// Completion is one suggestion.
type Completion struct {
	Content    string            `json:"content"`
	Confidence float64           `json:"confidence"`
	Tokens     []CompletionToken `json:"tokens"`
}

// GenerateCompletionsResponse carries the suggestions; none is a valid answer.
type GenerateCompletionsResponse struct {
	Completions []Completion `json:"completions"`
}

// GetRetrievalsRequest searches the customization.
type GetRetrievalsRequest struct {
	CustomizationARN string `json:"customizationArn"`
	Query            string `json:"query"`
	LanguageName     string `json:"languageName,omitempty"`
	MaxResults       int    `json:"maxResults,omitempty"`
}

func (r *GetRetrievalsRequest) customization() string { return r.CustomizationARN }

// Retrieval is one hit.
type Retrieval struct {
	Content   string  `json:"content"`
	Score     float64 `json:"score"`
	Filepath  string  `json:"filepath"`
	StartLine int     `json:"startLine"`
	EndLine   int     `json:"endLine"`
}

// GetRetrievalsResponse maps a list name to hits, as AWS's model does.
type GetRetrievalsResponse struct {
	Retrievals map[string][]Retrieval `json:"retrievals"`
}
