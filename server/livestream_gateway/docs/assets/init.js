// Starts Swagger UI. A file of its own, because the page's content security policy allows no inline script.
"use strict";

// Forms start with the contract's examples and otherwise empty, and what is left empty is not sent. Swagger UI's own
// way is to fill every optional field with a made-up value, which no service could accept.
const sparseForms = {
  components: { ParameterIncludeEmpty: () => null },
  afterLoad() {
    const sample = this.fn.getSampleSchema;
    this.fn.getSampleSchema = (schema, mediaType, ...rest) => {
      const { type, examples } = schema.toJS?.() ?? schema;
      const formField = mediaType === false;
      return formField && !examples ? (type === "array" ? "[]" : "") : sample(schema, mediaType, ...rest);
    };
  },
};

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  // The token survives a reload, and "Try it out" needs no extra click: that is what the page is for.
  persistAuthorization: true,
  tryItOutEnabled: true,
  // No stranger is asked whether our description is valid.
  validatorUrl: null,
  plugins: [sparseForms],
});
