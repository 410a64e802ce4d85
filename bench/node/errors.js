const STATUS = {
  MISSING_PARAMS: 400,
  VALIDATION_ERROR: 400,
  MESSAGE_TOO_LONG: 400,
  INVALID_CREDENTIALS: 401,
  FORBIDDEN: 403,
  CONVERSATION_NOT_FOUND: 404,
  MESSAGE_NOT_FOUND: 404,
  LOCAL_ID_CONFLICT: 409,
  SERVER_ERROR: 500,
};

/** A failure that the client is told, by code. */
export class ApiError extends Error {
  constructor(code, message = code) {
    super(message);
    this.code = code;
    this.statusCode = STATUS[code] ?? 500;
  }
}
